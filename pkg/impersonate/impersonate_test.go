package impersonate

import (
	"context"
	"net/http"
	"testing"
)

type recorder struct{ user []string }

func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.user = request.Header.Values("Impersonate-User")
	return &http.Response{}, nil
}

func TestWhoseRequestsTheyAre(t *testing.T) {
	wrap, err := ServiceAccounts("deployer", "myapp-hub-system")
	if err != nil {
		t.Fatal(err)
	}
	seen := &recorder{}
	client := wrap(seen)
	const shop = "system:serviceaccount:shop:deployer"
	for _, c := range []struct{ method, path, in, want string }{
		{path: "/api/v1/namespaces/shop/secrets"},
		{method: http.MethodPost, path: "/api/v1/namespaces/shop/secrets", want: shop},
		{method: http.MethodDelete, path: "/api/v1/namespaces/shop/secrets", want: shop},
		{path: "/api/v1/namespaces/shop/secrets/x", want: shop},
		{path: "/apis/apps/v1/namespaces/shop/deployments/web", want: shop},
		{path: "/prefix/of/a/proxy/apis/apps/v1/namespaces/shop/deployments/web/scale", want: shop},
		{path: "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", in: "shop", want: shop},
		{path: "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"},
		{path: "/api/v1/namespaces/shop"},
		{path: "/api/v1/namespaces"},
		{path: "/apis/apps/v1/deployments"},
		{path: "/api/v1/namespaces/myapp-hub-system/configmaps/myapp-hub-inventory"},
		{path: "/version"},
	} {
		ctx := t.Context()
		if c.in != "" {
			ctx = In(context.Background(), c.in)
		}
		request, err := http.NewRequestWithContext(ctx, c.method, "https://member"+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.RoundTrip(request); err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(seen.user) > 0 {
			got = seen.user[0]
		}
		if got != c.want || len(seen.user) > 1 {
			t.Errorf("%s: as %q, wanted %q", c.path, seen.user, c.want)
		}
		if request.Header.Get("Impersonate-User") != "" {
			t.Errorf("%s: the caller's own request was changed", c.path)
		}
	}
}

func TestNobodyIsRefused(t *testing.T) {
	for _, account := range []string{"", " ", "a:b", "system:masters", "../x", "A"} {
		if _, err := ServiceAccounts(account, ""); err == nil {
			t.Errorf("%q is taken for a ServiceAccount", account)
		}
	}
}
