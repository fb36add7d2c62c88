package restore

import (
	"fmt"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	v1 "github.com/example/myapp-hub/api/v1"
	"github.com/example/myapp-hub/pkg/manifest"
)

// Keys of the ConfigMap v1.HubIdentity, beside that of the hub's ID.
const (
	keyEpoch   = "epoch"
	keyCluster = "clusterUID"
	keyHeld    = "held"
)

// identity is what the ConfigMap says that this package is about.
type identity struct {
	// epoch rises with each release.
	epoch int64
	// cluster is the UID of the cluster the hub belongs to, empty before its
	// first start.
	cluster string
	// held is why the hub holds, empty if it does not.
	held string
	// release is true when a person has asked for a release.
	release bool
}

// parse reads the identity. A number that cannot be read is an error: with a
// wrong epoch the hub would take its own objects for newer ones, or the reverse.
func parse(c *corev1.ConfigMap) (identity, error) {
	id := identity{cluster: c.Data[keyCluster], held: c.Data[keyHeld], release: c.Annotations[v1.AnnotationRelease] == "true"}
	if text := c.Data[keyEpoch]; text != "" {
		epoch, err := strconv.ParseInt(text, 10, 64)
		if err != nil || epoch < 0 || epoch > manifest.MaxEpoch {
			return id, fmt.Errorf("ConfigMap %s/%s has the %s %q, which is not a number of releases: restore it from a backup", c.Namespace, c.Name, keyEpoch, text)
		}
		id.epoch = epoch
	}
	return id, nil
}

// into is the ConfigMap with the identity; other keys stay. A release that was
// asked for is not kept: it is carried out, or it was not about this hold.
func (id identity) into(c *corev1.ConfigMap) *corev1.ConfigMap {
	c = c.DeepCopy()
	if c.Data == nil {
		c.Data = map[string]string{}
	}
	set := func(key, value string) {
		if value == "" {
			delete(c.Data, key)
			return
		}
		c.Data[key] = value
	}
	set(keyCluster, id.cluster)
	set(keyHeld, id.held)
	if id.epoch > 0 {
		set(keyEpoch, strconv.FormatInt(id.epoch, 10))
	}
	delete(c.Annotations, v1.AnnotationRelease)
	return c
}

// start is the identity that a hub on a cluster starts with.
//
//	no cluster is recorded         record this one; not held by that
//	this cluster is recorded       as recorded
//	another one, held already      as recorded
//	another one                    held
func start(id identity, cluster, namespace string) identity {
	switch {
	case id.cluster == "":
		id.cluster = cluster
	case id.cluster != cluster && id.held == "":
		id.held = message(namespace, fmt.Sprintf("the hub's identity was restored into another cluster: it was made in the one whose namespace kube-system has the UID %s, and here that is %s", id.cluster, cluster))
	}
	return id
}

// step is the next identity of a held hub on a cluster, when highest is the
// highest epoch that was seen on members. Only a hold that has been
// on record can be released: an annotation that was there before is about
// nothing that anybody has seen.
//
//	on record, release asked for       a new epoch, not held, this cluster
//	on record                          as it is
//	not on record                      recorded
func step(id identity, held, cluster string, highest int64) (next identity, released bool) {
	next = id
	next.release = false
	if id.held == held && id.release {
		next.epoch, next.held, next.cluster = max(id.epoch, highest)+1, "", cluster
		return next, true
	}
	next.held = held
	return next, false
}
