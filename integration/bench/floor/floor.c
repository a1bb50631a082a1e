/*
 * The floor: what starting the benchmark's container costs at the very least.
 * It makes the calls that the bundle's config.json asks for, in a sensible
 * order, from constants: nothing is parsed, checked, recorded or explained.
 * What a runtime needs above it is the price of being one.
 *
 *	floor ROOT UNIFIED-CGROUP [OTHER-CGROUP...]
 *
 * The cgroups are made, joined and removed; the exit status is /bin/true's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define NSD (MS_NOSUID | MS_NOEXEC | MS_NODEV)

/* must ends the program with the name of the call that failed. */
static void must(long result, const char *call)
{
	if (result < 0) {
		fprintf(stderr, "floor: %s: %s\n", call, strerror(errno));
		_exit(125);
	}
}

/* maybe is must for what a kernel may lack, such as a masked path. */
static int maybe(long result, const char *call)
{
	if (result < 0 && errno != ENOENT)
		must(result, call);
	return result >= 0;
}

static void mounts(void)
{
	must(mount("proc", "proc", "proc", 0, 0), "mount proc");
	must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "mount /dev");
	must(mkdir("dev/pts", 0755), "mkdir /dev/pts");
	must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"), "mount /dev/pts");
	must(mkdir("dev/shm", 0755), "mkdir /dev/shm");
	must(mount("shm", "dev/shm", "tmpfs", NSD, "mode=1777,size=65536k"), "mount /dev/shm");
	must(mkdir("dev/mqueue", 0755), "mkdir /dev/mqueue");
	must(mount("mqueue", "dev/mqueue", "mqueue", NSD, 0), "mount /dev/mqueue");
	must(mount("sysfs", "sys", "sysfs", NSD | MS_RDONLY, 0), "mount /sys");
	must(mount("cgroup2", "sys/fs/cgroup", "cgroup2", NSD | MS_RDONLY | MS_RELATIME, 0), "mount /sys/fs/cgroup");
}

static void devices(void)
{
	static const struct { const char *path; int major, minor; } nodes[] = {
		{"dev/null", 1, 3}, {"dev/zero", 1, 5}, {"dev/full", 1, 7},
		{"dev/random", 1, 8}, {"dev/urandom", 1, 9}, {"dev/tty", 5, 0},
	};
	umask(0);
	for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
		must(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), "mknod");
	umask(022);
	must(symlink("/proc/self/fd", "dev/fd"), "symlink");
	must(symlink("/proc/self/fd/0", "dev/stdin"), "symlink");
	must(symlink("/proc/self/fd/1", "dev/stdout"), "symlink");
	must(symlink("/proc/self/fd/2", "dev/stderr"), "symlink");
	must(symlink("pts/ptmx", "dev/ptmx"), "symlink");
}

static void hide(void)
{
	static const char *const masked[] = {
		"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
	};
	static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	for (size_t i = 0; i < sizeof masked / sizeof *masked; i++)
		if (mount("/dev/null", masked[i], 0, MS_BIND, 0) < 0 && errno == ENOTDIR)
			must(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, 0), "mask");
	for (size_t i = 0; i < sizeof readonly / sizeof *readonly; i++)
		if (maybe(mount(readonly[i], readonly[i], 0, MS_BIND | MS_REC, 0), "bind"))
			must(mount(0, readonly[i], 0, MS_BIND | MS_REMOUNT | MS_RDONLY | NSD, 0), "remount");
}

static void root(const char *path)
{
	must(mount(0, "/", 0, MS_REC | MS_SLAVE, 0), "make / a slave");
	must(mount(path, path, 0, MS_BIND | MS_REC, 0), "bind root");
	must(chdir(path), "chdir root");
	mounts();
	devices();
	must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	must(umount2(".", MNT_DETACH), "umount old root");
	must(chdir("/"), "chdir /");
	hide();
	must(mount(0, "/", 0, MS_BIND | MS_REMOUNT | MS_RDONLY, 0), "make / read-only");
}

static void network(void)
{
	struct ifreq ifr = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	must(s, "socket");
	must(ioctl(s, SIOCSIFFLAGS, &ifr), "set lo up");
	close(s);
}

static void credentials(void)
{
	const uint32_t keep = 1u << CAP_AUDIT_WRITE | 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE;
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{keep, keep, 0}, {0, 0, 0}};
	struct rlimit files = {1024, 1024};
	must(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
	for (int c = 0; prctl(PR_CAPBSET_READ, c, 0, 0, 0) >= 0; c++)
		if (c > 31 || !(keep & (1u << c)))
			must(prctl(PR_CAPBSET_DROP, c, 0, 0, 0), "drop capability");
	must(syscall(SYS_setgroups, 0, 0), "setgroups");
	must(setresgid(0, 0, 0), "setresgid");
	must(setresuid(0, 0, 0), "setresuid");
	must(syscall(SYS_capset, &header, data), "capset");
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

static void child(char **argv)
{
	static char *const args[] = {"/bin/true", 0};
	static char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", 0};
	for (char **cgroup = argv + 3; *cgroup; cgroup++) {
		char path[4096];
		snprintf(path, sizeof path, "%s/cgroup.procs", *cgroup);
		int fd = open(path, O_WRONLY | O_CLOEXEC);
		must(fd, path);
		must(write(fd, "0", 1), path);
		close(fd);
	}
	must(unshare(CLONE_NEWCGROUP), "unshare cgroup namespace");
	must(setsid(), "setsid");
	syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, "floor");
	must(sethostname("runc", 4), "sethostname");
	network();
	root(argv[1]);
	credentials();
	must(syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */), "close_range");
	must(execve(args[0], args, env), "execve");
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: floor ROOT UNIFIED-CGROUP [OTHER-CGROUP...]\n");
		return 125;
	}
	for (char **cgroup = argv + 2; *cgroup; cgroup++)
		must(mkdir(*cgroup, 0755), *cgroup);
	int fd = open(argv[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
	must(fd, argv[2]);
	struct clone_args args = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = fd,
	};
	long pid = syscall(SYS_clone3, &args, sizeof args);
	must(pid, "clone3");
	if (pid == 0)
		child(argv);
	int status;
	must(waitpid(pid, &status, 0), "wait");
	for (char **cgroup = argv + 2; *cgroup; cgroup++)
		must(rmdir(*cgroup), *cgroup);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
