//go:build !unix

package fleet

import "os"

// flock locks nothing where there is no flock(2).
func flock(*os.File) error { return nil }
