package program

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE

// image makes an executable file of the ELF image: a sealed memfd, or where
// the system refuses to execute those (vm.memfd_noexec=2, Linux 6.3) an
// unlinked file in dir.
func image(elf []byte, dir string) (*os.File, error) {
	f, err := memfd(elf)
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, unix.EACCES) || dir == "" {
		return nil, err
	}
	return unlinked(elf, dir)
}

func memfd(elf []byte) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate("peapod", flags|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3 there is no flag: all are executable
		fd, err = unix.MemfdCreate("peapod", flags)
	}
	if err != nil {
		return nil, fmt.Errorf("make an executable memory file (memfd_create): %w", err)
	}
	f := os.NewFile(uintptr(fd), "program")
	if _, err := f.Write(elf); err != nil {
		f.Close()
		return nil, fmt.Errorf("write the set-up program: %w", err)
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal the set-up program: %w", err)
	}
	return f, nil
}

// unlinked writes elf to a file without a name. It is opened anew for reading,
// since no file can be executed while it is open for writing.
func unlinked(elf []byte, dir string) (*os.File, error) {
	w, err := os.CreateTemp(dir, ".program-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(w.Name())
	_, err = w.Write(elf)
	if err == nil {
		err = w.Chmod(0o500)
	}
	if err2 := w.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return nil, err
	}
	return os.Open(w.Name())
}
