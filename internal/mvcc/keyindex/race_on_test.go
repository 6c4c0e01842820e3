//go:build race

package keyindex

const raceEnabled = true
