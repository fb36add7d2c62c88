package placement

import "time"

// Outcome is what a verdict means for one member.
type Outcome string

const (
	// Run: the member is to run the app, with the current spec.
	Run Outcome = "Run"
	// Keep: the member keeps what it has; nothing about it changes.
	Keep Outcome = "Keep"
	// Leave: the app is to leave the member, and stays as it is until those that take over
	// are ready.
	Leave Outcome = "Leave"
	// Remove: the app is to leave the member now.
	Remove Outcome = "Remove"
	// Reject: the member does not have the app and does not get it.
	Reject Outcome = "Reject"
)

// Verdict is the decision about one member, with its reason.
type Verdict struct {
	Cluster string
	Outcome Outcome
	// Reason is one of the v1.Reason constants.
	Reason string
	// Message says the reason for a person.
	Message string
	// Replicas is the number of pods that a member with Run is to have.
	Replicas int32
}

// Question is what the hub asks a person before it goes on; it is empty if it asks
// nothing.
type Question struct {
	// Reason is one of the v1.Reason constants, Message says it for a person.
	Reason, Message string
	// Plan is what an acknowledgement must quote.
	Plan string
	// Clusters are the members that the app would leave.
	Clusters []string
}

// Result has one verdict for every member and every row, ordered by name.
type Result struct {
	Verdicts []Verdict
	// Reason and Message sum up why members were chosen, or why none was.
	Reason, Message string
	// Next are the members that would be chosen next, the best first; a few of them.
	Next []string
	// Unplaced is how many of the replicas that are divided no member can run.
	Unplaced int32
	// Lost are the members that the app leaves now and that count when it is asked whether too
	// many are left. What was acknowledged does not.
	Lost []string
	// Question is what stops the hub from going on.
	Question Question
	// CutOff is true when so many members are silent that the hub leaves none of them: it
	// may be cut off itself.
	CutOff bool
	// Waiting is how many members the app will leave once the failover budget allows it.
	Waiting int
	// WantsRoom is true where more room on a member could change the result. That there is
	// more wakes nobody, for it changes all the time: look again once in a while.
	WantsRoom bool
	// Wake is when time alone can change the result; zero for never.
	Wake time.Time
}
