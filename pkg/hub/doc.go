// Package hub is the hub controller. Run lists its controllers; that list is the
// table of contents of the packages below.
package hub
