// Command etcdutl works on a member's files while the member is stopped.
package main

import (
	"os"

	"keelson/internal/utl"
)

func main() { os.Exit(utl.Main(os.Args[1:], os.Stdout, os.Stderr)) }
