package render

import (
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// newTrial renders an app for a made-up member, which has every label and
// property and which the given overrides are for.
func newTrial(app *v1.MyApp, overrides []int) *rendering {
	chosen := make(map[int]bool, len(overrides))
	for _, i := range overrides {
		chosen[i] = true
	}
	in := Input{
		Namespace: app.Namespace, Name: app.Name, UID: app.UID,
		Stamp: manifest.Stamp{Generation: app.Generation}, HubID: "trial",
		Cluster: Cluster{Name: "trial"}, Template: *app.Spec.DeepCopy(), Replicas: 1,
	}
	r := newRendering(in)
	r.vars.trial = true
	r.applies = func(i int) (bool, error) { return chosen[i], nil }
	return r
}

// try renders the app without overrides, and then with each of them.
func try(app *v1.MyApp) field.ErrorList {
	if err := newTrial(app, nil).run(); err != nil {
		return field.ErrorList{fieldError(err)}
	}
	var errs field.ErrorList
	for i := range app.Spec.Overrides {
		if err := tryOverride(app, i); err != nil {
			errs = append(errs, fieldError(err))
		}
	}
	return errs
}

// tryOverride is an error if no member can be thought of on which an override
// works. It may rely on what an earlier one has made, and which of those a
// member gets is not known: it is tried alone, after each of them, and after all.
// A test that fails says nothing, since it may hold on a member.
func tryOverride(app *v1.MyApp, i int) error {
	err := tryWith(app, i)
	if err == nil || i == 0 {
		return err
	}
	before := make([]int, 0, i)
	for j := range i {
		before = append(before, j)
		if tryWith(app, i, j) == nil {
			return nil
		}
	}
	if tryWith(app, i, before...) == nil {
		return nil
	}
	return err
}

// tryWith renders the app with override i after others.
func tryWith(app *v1.MyApp, i int, others ...int) error {
	err := newTrial(app, slices.Concat(others, []int{i})).run()
	var e *Error
	if errors.As(err, &e) && e.testFailed {
		return nil
	}
	return err
}

// fieldError is an error of a rendering as admission reports it.
func fieldError(err error) *field.Error {
	var e *Error
	if !errors.As(err, &e) {
		return field.InternalError(field.NewPath("spec"), err)
	}
	return invalid(e.Field, e.Message)
}
