/* SPDX-License-Identifier: Apache-2.0 */
#include "kern/tls.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "helper/helper.h"
#include "kern/code.h"
#include "kern/priv.h"
#include "kern/skel.h"
#include "weir/abi/http.h"

static const struct call {
    const char *name;
    uint32_t kind;
    bool returns;  /* what it has done is known at its end */
    bool required; /* the others came with later versions of OpenSSL */
} calls[] = {
    { "SSL_read", WEIR_TLS_READ, true, true },
    { "SSL_write", WEIR_TLS_WRITE, true, true },
    { "SSL_read_ex", WEIR_TLS_READ_EX, true, false },
    { "SSL_write_ex", WEIR_TLS_WRITE_EX, true, false },
    { "SSL_do_handshake", WEIR_TLS_HANDSHAKE, true, false },
    { "SSL_free", WEIR_TLS_FREE, false, false },
};

struct weir_tls_probe {
    struct bpf_link *links[2 * WEIR_ARRAY_LEN(calls)];
    size_t n;
};

bool weir_tls_is_program(const struct bpf_program *prog) {
    return strncmp(bpf_program__name(prog), "weir_tls_", 9) == 0;
}

const char *weir_kern_tls_possible(void) {
    struct btf *btf;
    bool there;

    if (access("/sys/bus/event_source/devices/uprobe/type", R_OK) < 0)
        return "the kernel has no uprobes";
    btf = btf__load_vmlinux_btf();
    there =
        btf && btf__find_by_name_kind(btf, "btf_trace_tcp_rcv_space_adjust", BTF_KIND_TYPEDEF) > 0;
    btf__free(btf);
    return there ? NULL : "the kernel has no tracepoint tcp_rcv_space_adjust";
}

static int attach(struct weir_kern *k, struct weir_tls_probe *p,
                  const struct weir_helper_spot *spot, uint32_t kind) {
    const struct bpf_program *prog =
        spot->at_return ? k->bpf->progs.weir_tls_return : k->bpf->progs.weir_tls_enter;
    LIBBPF_OPTS(bpf_perf_event_opts, opts, .bpf_cookie = kind);
    int fd, r = weir_helper_probe(k->helper, spot, &fd);

    if (r)
        return r;
    p->links[p->n] = bpf_program__attach_perf_event_opts(prog, fd, &opts);
    if (!p->links[p->n]) {
        r = -errno;
        close(fd);
        return r;
    }
    p->n++;
    return 0;
}

static int attach_all(struct weir_kern *k, struct weir_tls_probe *p, struct weir_code *code,
                      pid_t pid) {
    int r = 0;

    for (size_t i = 0; r == 0 && i < WEIR_ARRAY_LEN(calls); i++) {
        struct weir_helper_spot spot = { .pid = pid, .library = WEIR_TLS_LIBRARY };
        uint64_t at = weir_code_export(code, calls[i].name);

        if (at == 0 || at > UINT32_MAX) {
            r = calls[i].required ? -ENOENT : 0;
            continue;
        }
        spot.offset = (uint32_t)at;
        r = attach(k, p, &spot, calls[i].kind);
        spot.at_return = true;
        if (r == 0 && calls[i].returns)
            r = attach(k, p, &spot, calls[i].kind);
    }
    return r;
}

static void close_code(struct weir_code **code) {
    weir_code_close(*code);
}

int weir_kern_tls_attach(struct weir_kern *k, pid_t pid, int fd,
                         struct weir_tls_probe **ret_probe) {
    WEIR_CLEANUP(close_code)
    struct weir_code *code = NULL;
    struct weir_tls_probe *p;
    int r;

    if (!bpf_program__autoload(k->bpf->progs.weir_tls_enter))
        return -EOPNOTSUPP;
    r = weir_code_open(fd, &code);
    if (r)
        return r == -ENOEXEC ? -ENOENT : r;
    p = weir_calloc(1, sizeof(*p));
    r = p ? attach_all(k, p, code, pid) : -ENOMEM;
    if (r) {
        weir_tls_probe_free(p);
        return r;
    }
    *ret_probe = p;
    return 0;
}

struct weir_tls_probe *weir_tls_probe_free(struct weir_tls_probe *p) {
    for (size_t i = 0; p && i < p->n; i++)
        bpf_link__destroy(p->links[i]);
    return weir_free(p);
}

int weir_kern_tls_sockets(struct weir_kern *k, bool on) {
    if (on && !k->tls_sockets) {
        k->tls_sockets = bpf_program__attach(k->bpf->progs.weir_tls_socket);
        return k->tls_sockets ? 0 : -errno;
    }
    if (!on) {
        bpf_link__destroy(k->tls_sockets);
        k->tls_sockets = NULL;
    }
    return 0;
}
