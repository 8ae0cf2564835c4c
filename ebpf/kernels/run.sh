#!/usr/bin/env bash
# Boots Debian kernels under QEMU (TCG: nested KVM cannot run stock kernels) and has the real loader load every program.
#
#   run.sh LOADER IMAGE TESTS [KERNEL...]
#
# LOADER  fqdn-load
# IMAGE   an image to apply
# TESTS   the tests that put packets to the programs (verdicts)
# KERNEL  a package name without linux-image- or linux-binary-, for example 6.1.0-56-cloud-amd64; a series, for
#         example 6.1: the newest that the sources offer; or "newest"
#
# Prints PASS, FAIL or NOT RUN for each. Exit: 0 = all passed, 1 = one failed, 3 = none failed, some NOT RUN.
# CACHE keeps package lists, packages and kernels.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
CACHE=${CACHE:-$here/../../.kernels}
CACHE=$(mkdir -p "$CACHE" && cd "$CACHE" && pwd)
LOGS=${LOGS:-$CACHE/logs}
DEFAULT_KERNELS=(6.1 6.12 6.18 newest)
# Verified instructions allowed for one program: on 6.1, and later.
MOST_61=500000 MOST=250000
BOOT_SECONDS=300
GUEST_MEMORY=1024 # MiB
FLAVOUR=cloud-amd64
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# "archive suite"; the archive is the last part of a mirror's address.
SUITES=(
	"debian-security bookworm-security"
	"debian bookworm-backports"
	"debian trixie"
	"debian trixie-backports"
)

say() { printf '%s\n' "$*" >&2; }

# The address of the host's mirror of an archive ("debian", "debian-security"), from its own apt sources.
mirror_of() {
	local address
	address=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v '^ *#' |
		grep -oE "(https?|file):[^ ]*/$1/?( |\$)" | head -1 | tr -d ' ') || true
	echo "$address"
}

# A private apt: the host's configuration, lists and package state stay as they are.
prepare_apt() {
	local root=$CACHE/apt suite
	mkdir -p "$root"/etc/apt/{preferences.d,apt.conf.d} "$root"/var/lib/apt/lists/partial \
		"$root"/var/cache/apt/archives/partial "$root"/var/lib/dpkg "$CACHE"/packages "$CACHE"/kernels "$LOGS"
	: >"$root/var/lib/dpkg/status"
	for suite in "${SUITES[@]}"; do
		[ -n "$(mirror_of "${suite% *}")" ] || continue
		echo "deb [arch=amd64 signed-by=$KEYRING] $(mirror_of "${suite% *}") ${suite#* } main"
	done >"$root/etc/apt/sources.list"
	cat >"$root/apt.conf" <<-END
		Dir "$root";
		Dir::State::status "$root/var/lib/dpkg/status";
		Acquire::Languages "none";
		APT::Architecture "amd64";
		APT::Sandbox::User "root";
	END
	export APT_CONFIG=$root/apt.conf
	apt-get -q update >"$LOGS/apt.log" 2>&1 || say "apt-get update failed, see $LOGS/apt.log; going on with what the cache has"
}

# All names of packages that hold a kernel, in order of version. From 6.19 on it is linux-binary that holds the kernel.
kernel_packages() {
	apt-cache search --names-only "^linux-(image|binary)-[0-9].*-$FLAVOUR\$" | cut -d' ' -f1 |
		grep -E '^linux-[a-z]+-[0-9]+\.[0-9]+\.[0-9]+' | sed -E 's/^linux-(image|binary)-(.*)/\2 \1/' | sort -V |
		awk '{ kind[$1] = kind[$1] == "binary" ? "binary" : $2; if (!seen[$1]++) order[++n] = $1 }
		     END { for (i = 1; i <= n; i++) print "linux-" kind[order[i]] "-" order[i] }'
}

# Name of the package for what the caller calls a kernel; empty = none.
choose_package() {
	case $1 in
	newest) kernel_packages | tail -1 ;;
	*-"$FLAVOUR") kernel_packages | grep -E -- "^linux-(image|binary)-${1//[.+]/.}\$" | tail -1 ;;
	*) kernel_packages | grep -E -- "^linux-(image|binary)-${1//./\\.}\\." | tail -1 ;;
	esac
}

# Puts the package's kernel into the cache; prints its path.
fetch_kernel() {
	local package=$1 kernel=$CACHE/kernels/$1 file
	if [ ! -s "$kernel" ]; then
		(cd "$CACHE/packages" && apt-get -q download "$package" >>"$LOGS/apt.log" 2>&1) || return 1
		file=$(ls -t "$CACHE/packages/${package}"_*.deb | head -1)
		# /boot/vmlinuz-VERSION in linux-image, /usr/lib/modules/VERSION/vmlinuz in linux-binary
		dpkg-deb --fsys-tarfile "$file" | tar -xO --wildcards './boot/vmlinuz-*' './usr/lib/modules/*/vmlinuz' \
			2>/dev/null >"$kernel.part" || true
		[ -s "$kernel.part" ] || return 1
		mv "$kernel.part" "$kernel"
	fi
	echo "$kernel"
}

# What a device with a program on its egress takes, out of the kernel's own package: prints the path of an archive that is
# put behind the initramfs. Beside linux-binary they have a package of their own, linux-modules. Empty where it cannot be had.
fetch_modules() {
	local package=${1/#linux-binary-/linux-modules-} archive=$CACHE/kernels/$1.modules file root
	if [ ! -s "$archive" ]; then
		ls "$CACHE/packages/${package}"_*.deb >/dev/null 2>&1 ||
			(cd "$CACHE/packages" && apt-get -q download "$package" >>"$LOGS/apt.log" 2>&1) || true
		file=$(ls -t "$CACHE/packages/${package}"_*.deb 2>/dev/null | head -1)
		[ -n "$file" ] || { : >"$archive"; echo "$archive"; return; }
		root=$(mktemp -d)
		mkdir "$root/modules"
		dpkg-deb --fsys-tarfile "$file" | tar -x -C "$root" --wildcards --transform 's,.*/,modules/,' \
			'*/drivers/net/dummy.ko*' '*/net/sched/sch_ingress.ko*' '*/net/sched/cls_bpf.ko*' 2>/dev/null || true
		xz -dq "$root"/modules/*.xz 2>/dev/null || true
		if [ -e "$root/modules/dummy.ko" ]; then
			(cd "$root" && find modules | cpio -o -H newc --quiet -R 0:0 | gzip -1) >"$archive.part"
		else
			: >"$archive.part"
		fi
		mv "$archive.part" "$archive"
		rm -rf "$root"
	fi
	echo "$archive"
}

# PROGRAM PLACE ROOT: the program without what debuggers read, and the libraries that it is linked to.
put_program() {
	local library
	strip --strip-debug -o "$2" "$1"
	chmod 755 "$2"
	for library in $(ldd "$1" | grep -oE '/[^ ]+'); do
		mkdir -p "$3$(dirname "$library")"
		cp -L "$library" "$3$library"
	done
}

# LOADER IMAGE TESTS -> initramfs at $4. The tests read their tables where they were built.
build_initramfs() {
	local root
	root=$(mktemp -d)
	mkdir "$root"/{bin,dev,proc,sys}
	cp "$2" "$root/policy.img"
	cp /bin/busybox "$root/bin/busybox"
	put_program "$1" "$root/bin/fqdn-load" "$root"
	put_program "$3" "$root/bin/packet-tests" "$root"
	install -m 755 "$here/init" "$root/init"
	mkdir -p "$root$repository"
	cp -r "$repository"/{golden,policies} "$root$repository/"
	mkdir -p "$root$repository/ebpf/tests"
	mknod -m 600 "$root/dev/console" c 5 1 # the kernel opens it before /init runs
	(cd "$root" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1) >"$4"
	rm -rf "$root"
}

# KERNEL INITRAMFS LOG: boots, until it powers off or its time is over. qemu's exit status says nothing.
boot() {
	timeout "$BOOT_SECONDS" qemu-system-x86_64 -accel tcg -cpu max -m "$GUEST_MEMORY" -nodefaults -no-user-config \
		-display none -serial stdio -no-reboot -kernel "$1" -initrd "$2" \
		-append "console=ttyS0 panic=-1 quiet" </dev/null 2>&1 | tr -d '\r' >"$3" || true
}

# The release that a kernel image says of itself: offset of the text at 0x20e, plus 0x200 (Documentation/arch/x86/boot.rst).
release_of() {
	local at
	at=$(od -An -tu2 -j 526 -N 2 "$1")
	tail -c +$((at + 512 + 1)) "$1" | head -c 200 | tr '\0' '\n' | head -1 | cut -d' ' -f1
}

# RELEASE LOG: every program, none over the limit.
small_enough() {
	local most=$MOST
	case $1 in 6.1.*) most=$MOST_61 ;; esac
	awk -v most=$most '/^LOAD /{ n++; if ($4 + 0 > most) { print "over " most ": " $0; bad = 1 } } END { exit bad || n != 11 }' "$2"
}

# KERNEL-NAME INITRAMFS: one kernel from name to verdict.
run_kernel() {
	local package kernel release log start
	package=$(choose_package "$1") || true
	if [ -z "$package" ]; then
		echo "NOT RUN  $1: the host's apt sources offer no such package"
		return 3
	fi
	if ! kernel=$(fetch_kernel "$package"); then
		echo "NOT RUN  $1: cannot fetch $package, see $LOGS/apt.log"
		return 3
	fi
	release=$(release_of "$kernel")
	log=$LOGS/$package.log
	start=$SECONDS
	cat "$2" "$(fetch_modules "$package")" >"$2.whole"
	boot "$kernel" "$2.whole" "$log"
	rm -f "$2.whole"
	echo "== $1: $package, $((SECONDS - start)) s"
	grep -E '^(LOAD|DEVICE|PACKETS) ' "$log" || true
	if grep -qxF "RESULT PASS $release" "$log" && small_enough "$release" "$log"; then
		echo "PASS     $release"
		return 0
	fi
	tail -40 "$log"
	grep -q '^RESULT ' "$log" || echo "no RESULT line (a boot may take $BOOT_SECONDS s)"
	echo "FAIL     $release (console: $log)"
	return 1
}

main() {
	[ $# -ge 3 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
	local loader=$1 image=$2 tests=$3 kernel failed=0 status initramfs
	shift 3
	[ $# -gt 0 ] || set -- "${DEFAULT_KERNELS[@]}"
	for tool in qemu-system-x86_64 busybox cpio apt-get dpkg-deb strip ldd; do
		command -v $tool >/dev/null || { echo "NOT RUN  kernels: $tool is not installed"; exit 3; }
	done
	prepare_apt
	initramfs=$(mktemp)
	trap "rm -f '$initramfs'" EXIT
	build_initramfs "$loader" "$image" "$tests" "$initramfs"
	for kernel; do
		status=0
		run_kernel "$kernel" "$initramfs" || status=$?
		[ $status -eq 0 ] || [ $failed -eq 1 ] || failed=$status
	done
	[ -z "${SUDO_UID:-}" ] || chown -R "$SUDO_UID" "$CACHE"
	return $failed
}

main "$@"
