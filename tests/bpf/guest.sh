#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The kernel tests on this distribution's packaged kernel, in a guest under software emulation (no KVM needed): the kernel is
# downloaded and unpacked below BUILD/third, never installed; the guest sees this machine's files read-only.
#   tests/bpf/guest.sh BUILD [all] [pytest arguments]
# Without any: the tests marked "guest", at least one of each program. "all": every test of tests/bpf and tests/node.
# Otherwise pytest's own: options (-k EXPRESSION), and files, by path from the top or by name alone.
# Needs: qemu-system-x86, busybox-static, kmod, and a built BUILD/tests/bpf/weir-kern-driver and BUILD/weir.
set -eu
build=$(realpath "$1")
shift
top=$(realpath "$(dirname "$0")/../..")
work=$build/third/guest

# What pytest is asked: options, and files as paths from the top. The two folders have modules of equal names: a session each.
options=
bpf=
node=
value=
[ $# != 0 ] || set -- -m guest
[ "$1" != all ] || shift
for arg in "$@"; do
    case $value$arg in
    value*) value= options="$options '$arg'" ;;
    -k | -m) value=value options="$options $arg" ;;
    -*) options="$options '$arg'" ;;
    *)
        for word in "$arg" "tests/bpf/$arg" "tests/node/$arg" ""; do
            case ${word%%::*} in tests/bpf* | tests/node*) [ ! -e "$top/${word%%::*}" ] || break ;; esac
        done
        case $word in
        tests/bpf*) bpf="$bpf '$word'" ;;
        tests/node*) node="$node '$word'" ;;
        *)
            echo "guest: ${arg%%::*} is neither in tests/bpf nor in tests/node; tests by name: -k EXPRESSION" >&2
            exit 2
            ;;
        esac
        ;;
    esac
done
[ -n "$bpf$node" ] || { bpf=tests/bpf node=tests/node; }

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
    PYTHONPYCACHEPREFIX=$work/pyc WEIR_KERN_DRIVER=$build/tests/bpf/weir-kern-driver WEIR_BIN=$build/weir \
    WEIR_KERN_LOG=/tmp/kern.log WEIR_SLOW=4 /bin/sh /tmp/run.sh
\$b poweroff -f
INIT
chmod +x ir/init
# pytest runs here only to leave bytecode: the guest would take half a minute to compile the same.
pytest="/usr/bin/python3 -m pytest -q --color=no -p no:cacheprovider"
for dir in tests/bpf tests/node; do
    (cd "$top" && PYTHONPYCACHEPREFIX=$work/pyc PYTHONDONTWRITEBYTECODE='' $pytest --collect-only $dir) >collect.log 2>&1 ||
        { tail -20 collect.log; exit 1; }
done
cat >ir/run.sh <<RUN
uname -r
cd $top
none=yes
bad=
session() {
    $pytest -rs --durations=15 $options "\$@"
    r=\$?
    [ \$r = 5 ] || none=
    [ \$r = 5 ] || [ \$r = 0 ] || bad=\$r
}
${bpf:+session} $bpf
${node:+session} $node
[ -z "\$none" ] || { echo "no test was selected"; bad=5; }
[ -z "\$bad" ] || tail -n 60 /tmp/kern.log
echo GUEST-EXIT \${bad:-0}
RUN
(cd ir && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >ir.gz

qemu-system-x86_64 -accel tcg,thread=multi,tb-size=1024 -cpu max -m 2048 -smp 2 -nographic -no-reboot -nic none \
    -kernel "k/boot/vmlinuz-$version" -initrd ir.gz -append "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off init_on_alloc=0 audit=0 apparmor=0 rcupdate.rcu_expedited=1" \
    -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
    -device virtio-9p-pci,fsdev=host,mount_tag=host </dev/null | tee guest.log
grep -q 'GUEST-EXIT 0' guest.log
