#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The kernel tests on this distribution's packaged kernel, in a guest under software emulation (no KVM needed): the kernel is
# downloaded and unpacked below BUILD/third, never installed; the guest sees this machine's files read-only.
#   tests/bpf/guest.sh BUILD [pytest arguments]
# Needs: qemu-system-x86, busybox-static, kmod, and a built BUILD/tests/bpf/weir-kern-driver.
set -eu
build=$(realpath "$1")
shift
tests=$(dirname "$(realpath "$0")")
work=$build/third/guest
for tool in qemu-system-x86_64 busybox modprobe; do
    command -v "$tool" >/dev/null || { echo "$tool is missing: apt-get install qemu-system-x86 busybox-static kmod" >&2; exit 2; }
done
mkdir -p "$work"
cd "$work"

package=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
version=${package#linux-image-}
if [ ! -e "k/boot/vmlinuz-$version" ]; then
    rm -rf k ./*.deb
    apt-get -q download "$package"
    dpkg-deb -x "$package"_*.deb k
    depmod -b k "$version"
fi

# A first root of busybox and the modules the tests need, then this machine's root over 9p.
rm -rf ir
mkdir -p ir/bin ir/m ir/proc ir/sys ir/dev ir/h
cp "$(command -v busybox)" ir/bin/busybox
ln -s busybox ir/bin/sh
n=100
for module in virtio_pci 9pnet_virtio 9p veth bridge tcp_diag udp_diag; do
    modprobe -d "$work/k" -S "$version" --show-depends "$module" | awk '/^insmod/ { print $2 }'
done | awk '!seen[$0]++' | while read -r ko; do
    cp "$ko" "ir/m/$n-$(basename "$ko")"
    n=$((n + 1))
done
cat >ir/init <<INIT
#!/bin/sh
b=/bin/busybox
\$b mount -t proc proc /proc; \$b mount -t sysfs sys /sys; \$b mount -t devtmpfs dev /dev
for ko in /m/*.ko*; do \$b insmod \$ko; done
\$b mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /h
for dir in tmp run; do \$b mount -t tmpfs \$dir /h/\$dir; done
\$b mount -t proc proc /h/proc; \$b mount -t sysfs sys /h/sys; \$b mount -t devtmpfs dev /h/dev
\$b mkdir -p /h/dev/shm; \$b mount -t tmpfs shm /h/dev/shm
\$b mount -t cgroup2 cgroup2 /h/sys/fs/cgroup
\$b ip link set lo up
echo +pids >/h/sys/fs/cgroup/cgroup.subtree_control
\$b cp /run.sh /h/tmp/run.sh
\$b chroot /h /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8 \
    WEIR_KERN_DRIVER=$build/tests/bpf/weir-kern-driver WEIR_KERN_LOG=/tmp/kern.log WEIR_SLOW=4 /bin/sh /tmp/run.sh
\$b poweroff -f
INIT
chmod +x ir/init
{
    printf 'uname -r\ncd %s\n/usr/bin/python3 -m pytest -q -rs --color=no -p no:cacheprovider' "$tests"
    for arg in "$@"; do printf " '%s'" "$arg"; done
    printf '\nr=$?\n[ $r = 0 ] || tail -n 60 /tmp/kern.log\necho GUEST-EXIT $r\n'
} >ir/run.sh
(cd ir && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >ir.gz

qemu-system-x86_64 -accel tcg,thread=multi,tb-size=1024 -cpu max -m 1536 -smp 2 -nographic -no-reboot -nic none \
    -kernel "k/boot/vmlinuz-$version" -initrd ir.gz -append "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off" \
    -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
    -device virtio-9p-pci,fsdev=host,mount_tag=host </dev/null | tee guest.log
grep -q 'GUEST-EXIT 0' guest.log
