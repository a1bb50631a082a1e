package pod

import (
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/peapod/peapod/internal/inroot"
	"golang.org/x/sys/unix"
)

// checkMountPath reports why a volume cannot be mounted there in the image.
// What is missing is made; a link is followed inside of the image only, where
// it may lead nowhere. What other mounts cover is not looked at.
func checkMountPath(root *os.File, c *Container, i int) error {
	mountPath := path.Clean(c.VolumeMounts[i].MountPath)
	others := &Container{VolumeMounts: append(append([]VolumeMount(nil), c.VolumeMounts[:i]...), c.VolumeMounts[i+1:]...)}
	if coversAny(others, []string{mountPath}) {
		return nil
	}
	parts := strings.Split(strings.Trim(mountPath, "/"), "/")
	for n := range parts {
		at := "/" + path.Join(parts[:n+1]...)
		fd, err := inroot.Open(root, at, unix.O_PATH)
		switch {
		case err == nil:
			unix.Close(fd)
		case err == unix.ENOENT && isLink(root, at):
			return fmt.Errorf("in the image, %s is a symbolic link to %s, which the image does not have; a link never leads a mount out of the image: make that there, or choose another path: %w", at, linkText(root, at), err)
		case err == unix.ENOENT:
			return nil
		case err == unix.ELOOP:
			return fmt.Errorf("in the image, %s leads to itself by symbolic links: %w", at, err)
		case err == unix.ENOTDIR:
			return fmt.Errorf("in the image, %s is not a directory: %w", path.Dir(at), err)
		default:
			return fmt.Errorf("look at %s in the image: %w", at, err)
		}
	}
	return nil
}

func linkText(root *os.File, file string) string {
	fd, err := inroot.Open(root, file, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "something"
	}
	defer unix.Close(fd)
	text := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", text)
	if err != nil {
		return "something"
	}
	return string(text[:n])
}
