package apply

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	v1 "github.com/example/myapp-hub/api/v1"
)

// App is the app that an object on the cluster says that it belongs to.
type App struct {
	// NamespacedName is the MyApp on the hub.
	types.NamespacedName
	// UID is the MyApp's, empty if somebody has taken that mark off.
	UID types.UID
}

// appOf reads the marks of an object. Without a name it is no app's.
func (e *Engine) appOf(r *record) App {
	app := App{UID: types.UID(r.mark(v1.LabelAppUID))}
	app.Namespace, app.Name = r.namespace, r.mark(v1.LabelApp)
	if e.namespace != "" {
		app.Namespace = r.mark(v1.LabelAppNamespace)
	}
	if app.Namespace == "" {
		app.Name = ""
	}
	return app
}

// handler keeps the objects of a kind, and passes its events on as the apps that
// they are about.
func (e *Engine) handler(kind schema.GroupKind, objects *store) toolscache.ResourceEventHandler {
	tell := func(app App, initial bool) {
		if app.Name != "" {
			e.onChange(app, initial)
		}
	}
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(object any, initial bool) {
			r := recordOf(object)
			if r == nil {
				return
			}
			objects.size.Add(1)
			if e.objects.Add(1) > MaxObjects && e.onFlood != nil {
				e.onFlood()
				return
			}
			app := e.appOf(r)
			objects.put(app, r)
			if !e.saysNothing(kind, r) {
				tell(app, initial)
			}
		},
		UpdateFunc: func(before, after any) {
			was, is := recordOf(before), recordOf(after)
			if was == nil || is == nil {
				return
			}
			old, app := e.appOf(was), e.appOf(is)
			if old == app {
				objects.put(app, is)
			} else { // somebody has taken off the marks that name the app
				objects.move(old, app, is)
				tell(old, false)
			}
			if !e.saysNothing(kind, is) {
				tell(app, false)
			}
		},
		DeleteFunc: func(object any) {
			if r := recordOf(object); r != nil {
				objects.size.Add(-1)
				e.objects.Add(-1)
				app := e.appOf(r)
				objects.drop(app, r)
				tell(app, false)
			}
		},
	}
}

// saysNothing is true for our own last write when the pass that made it has reported
// all that it shows. Of a Deployment the cluster has yet to say what it makes of it,
// and of an object of any other kind that has a health it may have nothing to say.
func (e *Engine) saysNothing(kind schema.GroupKind, r *record) bool {
	if r.deployment != nil {
		if r.deployment.observedGeneration == r.generation {
			return false
		}
	} else if !isPlain(kind) {
		return false
	}
	return e.memory.isLastWrite(objectKey{kind, r.namespacedName()}, r)
}
