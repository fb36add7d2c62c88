// Package certificate keeps the certificate that the hub's webhook serves with, where
// nobody else does.
//
// The certificate and its authority are in a Secret, which every replica of the hub reads.
// Whichever finds it missing or near its end makes another: two that do so at once write
// the same Secret, and one of them loses and takes what the other has written. A replica
// serves another certificate only some seconds after the API server was told its authority:
// each API server sees that by a watch of its own.
//
// The authority signs one certificate and its key is forgotten: nobody can sign another
// with it. That is why both are renewed together, and why the authority before stays
// trusted beside the new one: other replicas serve its certificate a moment longer.
//
// The Secret and the webhook's configuration are made by whoever installs the hub, and are
// only filled in here: what the hub did not make it does not leave behind.
package certificate
