package certificate

import (
	"bytes"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const dnsName = "myapp-hub-webhook.myapp-hub-system.svc"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func issued(t *testing.T, old map[string][]byte, dnsName string, at time.Time) map[string][]byte {
	t.Helper()
	data, err := issue(old, dnsName, at)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestGood(t *testing.T) {
	fresh := issued(t, nil, dnsName, now)
	with := func(key string, value []byte) map[string][]byte {
		data := map[string][]byte{key: value}
		for k, v := range fresh {
			if k != key {
				data[k] = v
			}
		}
		return data
	}
	other := issued(t, nil, dnsName, now)
	for _, c := range []struct {
		reason string
		data   map[string][]byte
		name   string
		at     time.Time
		want   bool
	}{
		{"it has just been issued", fresh, dnsName, now, true},
		{"a clock is half an hour behind", fresh, dnsName, now.Add(-30 * time.Minute), true},
		{"it is good for more than ninety days", fresh, dnsName, now.Add(274 * 24 * time.Hour), true},
		{"it is good for less than ninety days", fresh, dnsName, now.Add(276 * 24 * time.Hour), false},
		{"it is for another Service", fresh, "other.myapp-hub-system.svc", now, false},
		{"nothing is there", nil, dnsName, now, false},
		{"the key is missing", with(corev1.TLSPrivateKeyKey, nil), dnsName, now, false},
		{"the key is another's", with(corev1.TLSPrivateKeyKey, other[corev1.TLSPrivateKeyKey]), dnsName, now, false},
		{"another authority has signed it", with(authorityKey, other[authorityKey]), dnsName, now, false},
		{"the authority is nonsense", with(authorityKey, []byte("nonsense")), dnsName, now, false},
	} {
		if got := good(c.data, c.name, c.at); got != c.want {
			t.Errorf("%s: good is %t, want %t", c.reason, got, c.want)
		}
	}
}

// The authority before stays trusted, but none of before that, however often it is renewed.
func TestIssueKeepsOneAuthorityFromBefore(t *testing.T) {
	var data map[string][]byte
	var before, beforeThat []byte
	for range 4 {
		data = issued(t, data, dnsName, now)
		newest := first(data[authorityKey])
		if want := append(bytes.Clone(newest), before...); !bytes.Equal(data[authorityKey], want) {
			t.Fatalf("the bundle is not the newest authority and the one before:\n%s", data[authorityKey])
		}
		if len(beforeThat) > 0 && bytes.Contains(data[authorityKey], beforeThat) {
			t.Fatal("an authority of long ago is still trusted")
		}
		if !good(data, dnsName, now) {
			t.Fatal("what was issued is not good")
		}
		before, beforeThat = newest, before
	}
	if len(data) != 3 {
		t.Errorf("there are %d entries; the key of the authority is for nobody", len(data))
	}
}
