package fleet

import (
	"fmt"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// kubeconfig encodes a rest.Config.
func kubeconfig(cluster string, cfg *rest.Config) ([]byte, error) {
	out := api.NewConfig()
	out.Clusters[cluster] = &api.Cluster{
		Server: cfg.Host, CertificateAuthorityData: cfg.CAData, CertificateAuthority: cfg.CAFile,
	}
	out.AuthInfos[cluster] = &api.AuthInfo{
		ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData, Token: cfg.BearerToken,
	}
	out.Contexts[cluster] = &api.Context{Cluster: cluster, AuthInfo: cluster}
	out.CurrentContext = cluster
	b, err := clientcmd.Write(*out)
	if err != nil {
		return nil, fmt.Errorf("encoding a kubeconfig for %s: %w", cluster, err)
	}
	return b, nil
}

func writeKubeconfig(path, cluster string, cfg *rest.Config) error {
	b, err := kubeconfig(cluster, cfg)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		return fmt.Errorf("writing a kubeconfig for %s: %w", cluster, err)
	}
	return nil
}
