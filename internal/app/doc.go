// Package app is the wiring page: it builds each part of a member once, in
// order, and stops them in reverse. It decides nothing that belongs to a part.
//
//	recover.go   files -> stores, as they were when the member stopped
//	member.go    stores -> replica, server, services; Start and Stop
//	listen.go    services -> listeners
//	process.go   command line -> member -> exit code
package app
