// Package consistency keeps decisions from being made on a cache that is older
// than what this process, or the leader before it, has written.
package consistency
