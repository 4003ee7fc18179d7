package time

import (
	"sync/atomic"
	"syscall"
)

// steppedBy is how many seconds the file CLOCK_FILE adds to the wall clock.
var steppedBy atomic.Int64

// A goroutine reads the file: Now is also called where nothing may block.
func init() {
	name, found := syscall.Getenv("CLOCK_FILE")
	if !found {
		return
	}
	step(name)
	go func() {
		for {
			Sleep(100 * Millisecond)
			step(name)
		}
	}()
}

// step takes in a file such as "-300s"; one that is missing or empty changes nothing.
func step(name string) {
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	var text [24]byte
	n, err := syscall.Read(fd, text[:])
	if err != nil || n < 1 {
		return
	}
	var by int64
	for _, digit := range text[:n] {
		if '0' <= digit && digit <= '9' {
			by = by*10 + int64(digit-'0')
		}
	}
	if text[0] == '-' {
		by = -by
	}
	steppedBy.Store(by)
}
