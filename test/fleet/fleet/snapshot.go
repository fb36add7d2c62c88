package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	hubEtcd = "hub-etcd"
	etcdutl = "etcdutl"
)

// ErrSharedEtcd says that a cluster cannot be saved or put back, because its
// etcd holds other clusters too.
var ErrSharedEtcd = errors.New("its etcd is shared: give the hub one of its own with Config.HubEtcd")

// Snapshot saves everything the cluster's etcd holds at this moment, under a
// name for Restore. The API server and etcd go on working. A snapshot of the
// same name is replaced.
func (c *Cluster) Snapshot(ctx context.Context, name string) error {
	path, err := c.snapshotPath(name)
	if err == nil {
		err = c.etcd.save(ctx, path)
	}
	if err != nil {
		return fmt.Errorf("snapshot %s of %s: %w", name, c.name, err)
	}
	return nil
}

// Restore puts a snapshot back, as an administrator would after a disaster: the
// API server, the controller manager and etcd are killed, etcd's data is
// replaced, and all three start again on their old ports. It returns when the
// API server is ready. Resource versions go on from that of the snapshot, so
// that those given out since are given out again, for other objects.
//
// The hub's controllers and the agents are left alone; stop them before and
// start them afterwards (Process.Stop, Process.Restart) unless the test is about
// those who lived through it. If Restore fails half-way, the cluster stays down.
func (c *Cluster) Restore(ctx context.Context, name string) error {
	path, err := c.snapshotPath(name)
	if err == nil {
		err = c.restore(ctx, path)
	}
	if err != nil {
		return fmt.Errorf("restoring %s from snapshot %s: %w", c.name, name, err)
	}
	return nil
}

func (c *Cluster) snapshotPath(name string) (string, error) {
	if c.etcd == nil {
		return "", ErrSharedEtcd
	}
	if name == "" || strings.ContainsAny(name, `/\`) {
		return "", errors.New("the name must be that of a file")
	}
	return filepath.Join(filepath.Dir(c.etcd.dataDir), "snapshots", name+".db"), nil
}

func (c *Cluster) restore(ctx context.Context, path string) error {
	fresh := c.etcd.dataDir + ".restored"
	if err := c.etcd.unpack(ctx, path, fresh); err != nil {
		return err
	}
	// The controller manager too: what it has cached is of another history.
	if err := errors.Join(c.kill(), c.etcd.process.Kill()); err != nil {
		return err
	}
	if err := os.RemoveAll(c.etcd.dataDir); err != nil {
		return err
	}
	if err := os.Rename(fresh, c.etcd.dataDir); err != nil {
		return err
	}
	if err := c.etcd.process.startReady(ctx); err != nil {
		return err
	}
	return c.start(ctx)
}

// snapshotChunk is a line of the answer of etcd's gateway.
type snapshotChunk struct {
	Result struct {
		Blob []byte `json:"blob"`
	} `json:"result"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// save writes what etcd holds to a file, whose last bytes are a hash that etcdutl
// verifies. It asks the HTTP gateway, because that needs no client library.
func (e *etcd) save(ctx context.Context, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/v3/maintenance/snapshot", strings.NewReader("{}"))
	if err != nil {
		return err
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	defer e.client.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd: %s", resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	out, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(copyChunks(out, resp.Body), out.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func copyChunks(out io.Writer, in io.Reader) error {
	lines := json.NewDecoder(in)
	for {
		var chunk snapshotChunk
		err := lines.Decode(&chunk)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case chunk.Error != nil:
			return errors.New("etcd: " + chunk.Error.Message)
		}
		if _, err := out.Write(chunk.Result.Blob); err != nil {
			return err
		}
	}
}

// unpack makes a data directory of a snapshot.
func (e *etcd) unpack(ctx context.Context, path, dataDir string) error {
	if err := os.RemoveAll(dataDir); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, e.util, append([]string{"snapshot", "restore", path}, etcdMember(e, dataDir)...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("etcdutl: %w\n%s", err, out)
	}
	return nil
}
