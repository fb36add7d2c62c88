// Package version says what was built. It is set by the linker, so that a binary
// needs no files and no repository to know:
//
//	go build -ldflags "-X github.com/example/myapp-hub/pkg/version.version=v1.2.3"
package version

import "runtime/debug"

// version is what `git describe` said of the commit, with "-dirty" if files differed.
var version string

// String is the version, such as v0.2.0 or v0.2.0-7-g1a2b3c4. Of a binary that was built by
// a plain `go build` it is what Go has recorded of the commit, else "unknown".
func String() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return "unknown"
}
