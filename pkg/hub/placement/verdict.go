package placement

// Outcome is what a verdict means for one member.
type Outcome string

const (
	// Run: the member is to run the app, with the current spec.
	Run Outcome = "Run"
	// Keep: the member keeps what it has; nothing about it changes.
	Keep Outcome = "Keep"
	// Remove: the app is to leave the member.
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
}

// Result has one verdict for every member and every placed row, ordered by name.
type Result struct {
	Verdicts []Verdict
	// Reason and Message sum up why members were chosen, or why none was.
	Reason, Message string
}
