// Package identity is who an agent is to the hub.
//
// A cluster joins with a join token, which can do two things in the member's mailbox:
// make the Secret "credential", once, and ask for a token of the account "agent" that
// is bound to that Secret and its UID. Whoever made the Secret knows the UID; nobody
// else can get a token for it. From then on the agent asks for the next token with the
// one that it has, at 80 % of its life. Deleting the Secret ends all of them.
//
// What the agent has to know for that is in a Secret of its own cluster (Store), so
// that it needs nothing else to start again.
//
// # Trade-offs
//
//   - An agent that cannot reach the hub for longer than its token lives has to be
//     joined again. A longer life would be a longer life for a stolen token, too.
//   - Between making the Secret and saving the first token lies one request. An agent
//     that is killed there has to be joined again: that the join token works once is
//     worth more.
//
// # What it must not do
//
//   - Trust the clock of the own cluster, or of the hub, to be right: lives are measured
//     from when a token arrived.
//   - Write a token anywhere but into the Secret.
package identity
