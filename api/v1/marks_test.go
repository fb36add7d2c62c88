package v1

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
)

func TestWorkName(t *testing.T) {
	base := WorkName("shop", "web", "uid-1")
	for _, tt := range []struct {
		reason          string
		namespace, name string
		uid             types.UID
		same            bool
	}{
		{"the name is a function of the app", "shop", "web", "uid-1", true},
		{"an app that was deleted and made again has another Work", "shop", "web", "uid-2", false},
		{"apps of one name in two namespaces share a mailbox", "crm", "web", "uid-1", false},
		{"another app", "shop", "api", "uid-1", false},
	} {
		got := WorkName(tt.namespace, tt.name, tt.uid)
		if (got == base) != tt.same {
			t.Errorf("%s: WorkName(%s, %s, %s) = %s, first %s", tt.reason, tt.namespace, tt.name, tt.uid, got, base)
		}
	}
}

func TestNamesAreValid(t *testing.T) {
	longApp, longMember := strings.Repeat("a", 63), strings.Repeat("m", 56)
	if problems := validation.IsDNS1123Subdomain(WorkName("shop", longApp, "uid")); problems != nil {
		t.Errorf("the Work of the longest app name cannot be created: %v", problems)
	}
	if problems := validation.IsDNS1123Label(MailboxNamespace(longMember)); problems != nil {
		t.Errorf("the mailbox of the longest member name cannot be created: %v", problems)
	}
}
