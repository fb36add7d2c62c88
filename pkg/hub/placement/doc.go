// Package placement decides which members run an app.
//
// It is pure: the members and what is already placed go in, one verdict per
// member comes out. It never decides by absence: a member that is silent or
// whose MemberCluster is gone keeps what it has, and only a member that is
// known not to match loses the app.
package placement
