// Package mailbox carries out the Works in an agent's mailbox with the apply
// engine and reports in their status. It is the only writer of Work.status.
//
// A Work that is gone, a mailbox that is empty, and a hub that does not answer
// mean nothing: the only order to remove an app is a Work in state Removed.
package mailbox
