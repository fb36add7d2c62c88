package render

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/example/myapp-hub/api/v1"
)

// Error says why an app cannot be rendered for a member. Trying again does not
// help: the MyApp or the MemberCluster has to change.
type Error struct {
	// Reason is v1.ReasonRenderError or v1.ReasonNotPermitted.
	Reason string
	// Field is the field of the MyApp that is wrong.
	Field *field.Path
	// Message says what is wrong and what to do.
	Message string

	// testFailed is true when a test operation of a patch did not hold, which
	// may be so on one member and not on another.
	testFailed bool
}

// Error is the field and the message.
func (e *Error) Error() string { return e.Field.String() + ": " + e.Message }

func failf(path *field.Path, format string, args ...any) error {
	return &Error{Reason: v1.ReasonRenderError, Field: path, Message: fmt.Sprintf(format, args...)}
}

func notPermitted(path *field.Path, format string, args ...any) error {
	return &Error{Reason: v1.ReasonNotPermitted, Field: path, Message: fmt.Sprintf(format, args...)}
}
