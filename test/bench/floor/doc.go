// Command floor is C0, the floor that the hub is compared with: the least that a
// program can do that puts apps on members and says when they are ready there.
//
// It watches Floors on the hub and Deployments on the members. For each Floor it
// applies the objects to every member, with server-side apply and the hub's own
// limits (8 at a time on a member, 128 in all, first come first served), and
// writes one status when all are ready. Of another image it applies only the
// objects in which it is. It has client-go and nothing of the hub: no finalizers,
// no history, no checks of what it overwrites, no second look at anything.
//
// Its plan is read from standard input; "ready" is printed once it watches.
package main
