package apply

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
func (e *Engine) appOf(o metav1.Object) App {
	labels := o.GetLabels()
	app := App{UID: types.UID(labels[v1.LabelAppUID])}
	app.Namespace, app.Name = o.GetNamespace(), labels[v1.LabelApp]
	if e.namespace != "" {
		app.Namespace = labels[v1.LabelAppNamespace]
	}
	if app.Namespace == "" {
		app.Name = ""
	}
	return app
}

// handler passes the events of a kind on as the apps that they are about.
func (e *Engine) handler() toolscache.ResourceEventHandler {
	tell := func(object any) {
		if tombstone, ok := object.(toolscache.DeletedFinalStateUnknown); ok {
			object = tombstone.Obj
		}
		o, err := meta.Accessor(object)
		if err != nil {
			return
		}
		if app := e.appOf(o); app.Name != "" {
			e.onChange(app)
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc: tell, DeleteFunc: tell,
		// Somebody may have taken off the marks that name the app.
		UpdateFunc: func(before, after any) { tell(before); tell(after) },
	}
}
