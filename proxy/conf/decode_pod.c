/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pod v1, and the annotations by which weir binds a Pod to a local cgroup and network namespace. Of
 * a Pod's many fields a data plane needs labels, account, node, addresses, ports and readiness; the
 * rest is listed as of no effect, and what lies inside a container is not looked at beyond its
 * ports.
 */
#include <stdio.h>
#include <string.h>

#include "conf/build.h"
#include "conf/mode.h"
#include "conf/ports.h"
#include "conf/syntax.h"

int weir_decode_annotation(struct weir_dec *d, const struct weir_node *n, const char *key,
                           weir_decode_fn *fn, void *out) {
    const struct weir_node *annotations =
        weir_node_get(weir_node_get(n, "metadata"), "annotations");
    const struct weir_node *value = weir_node_get(annotations, key);
    int r;

    /* One that is not a string was reported with the annotations. */
    if (value == NULL || value->type != WEIR_NODE_STRING) {
        return 0;
    }
    weir_dec_enter(d, "metadata", 0);
    weir_dec_enter(d, "annotations", 0);
    weir_dec_enter(d, key, 0);
    r = fn(d, value, out);
    weir_dec_leave(d);
    weir_dec_leave(d);
    weir_dec_leave(d);
    return r;
}

struct word_choice {
    const char *const *words;
    unsigned *index;
};

static int decode_choice(struct weir_dec *d, const struct weir_node *n, void *out) {
    const struct word_choice *choice = out;

    return weir_dec_word(d, n, choice->words, choice->index);
}

int weir_decode_annotation_word(struct weir_dec *d, const struct weir_node *n, const char *key,
                                const char *const *words, unsigned *ret_index) {
    struct word_choice choice = { words, ret_index };

    return weir_decode_annotation(d, n, key, decode_choice, &choice);
}

int weir_decode_annotation_bool(struct weir_dec *d, const struct weir_node *n, const char *key,
                                bool *ret_value) {
    static const char *const words[] = { "false", "true", NULL };
    unsigned i = *ret_value;
    int r = weir_decode_annotation_word(d, n, key, words, &i);

    *ret_value = i == 1;
    return r;
}

int weir_decode_mode(struct weir_dec *d, const struct weir_node *n, const struct weir_meta *meta,
                     int *ret_mode) {
    static const char *const words[] = { "off", "sidecar", "node", "kernel", NULL };
    static const char key[] = "weir.dev/mode";
    const struct weir_node *label =
        weir_node_get(weir_node_get(weir_node_get(n, "metadata"), "labels"), key);
    unsigned mode = (unsigned)*ret_mode;
    int r;

    if (weir_meta_annotation(meta, key)[0] != '\0') {
        r = weir_decode_annotation_word(d, n, key, words, &mode);
    } else if (label != NULL && label->type == WEIR_NODE_STRING) {
        weir_dec_enter(d, "metadata", 0);
        weir_dec_enter(d, "labels", 0);
        weir_dec_enter(d, key, 0);
        r = weir_dec_word(d, label, words, &mode);
        weir_dec_leave(d);
        weir_dec_leave(d);
        weir_dec_leave(d);
    } else {
        return 0;
    }
    *ret_mode = (int)mode;
    return r;
}

/* SCTP ports stay in the list of what is declared, but nothing here can refer to them. */
static int decode_container_proto(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "TCP", "UDP", "SCTP", NULL };
    static const uint8_t protos[] = { WEIR_PROTO_TCP, WEIR_PROTO_UDP, 132 };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(uint8_t *)out = protos[i];
    return r;
}

static const struct weir_field container_port_fields[] = {
    WEIR_F("name", struct weir_container_port, name, weir_dec_string),
    WEIR_F_REQ("containerPort", struct weir_container_port, port, weir_dec_port),
    WEIR_F("protocol", struct weir_container_port, proto, decode_container_proto),
    WEIR_F_NONE("hostIP"),
    WEIR_F_NONE("hostPort"),
};
static const struct weir_object container_port_object =
    WEIR_OBJECT("Pod.spec.containers[].ports[]", container_port_fields);

static int decode_container_port(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_container_port *port = out;

    port->name = "";
    port->proto = WEIR_PROTO_TCP;
    return weir_dec_object(d, n, &container_port_object, port);
}

/* Where a probe knocks: a number, or the name of a port of the same container. */
static int decode_probe_port(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_probe_port *port = out;

    if (n->type != WEIR_NODE_STRING) {
        return weir_dec_port(d, n, &port->port);
    }
    if (!weir_is_port_name(n->text)) {
        return weir_dec_error(d, n, "%s is neither a port number nor a port's name", WEIR_SHOW(n));
    }
    return weir_dec_copy(d, n->text, &port->name);
}

static const struct weir_field probe_action_fields[] = {
    { .key = "port", .use = WEIR_FIELD_DECODED, .fn = decode_probe_port },
};
static const struct weir_object probe_action_object = {
    .name = "Pod.spec.containers[].livenessProbe.httpGet",
    .fields = probe_action_fields,
    .n_fields = WEIR_ARRAY_LEN(probe_action_fields),
    .lenient = true,
};

static int decode_probe_action(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &probe_action_object, out);
}

static const struct weir_field probe_fields[] = {
    { .key = "httpGet", .use = WEIR_FIELD_DECODED, .fn = decode_probe_action },
    { .key = "tcpSocket", .use = WEIR_FIELD_DECODED, .fn = decode_probe_action },
    { .key = "grpc", .use = WEIR_FIELD_DECODED, .fn = decode_probe_action },
};
static const struct weir_object probe_object = {
    .name = "Pod.spec.containers[].livenessProbe",
    .fields = probe_fields,
    .n_fields = WEIR_ARRAY_LEN(probe_fields),
    .lenient = true,
};

static int decode_probe(struct weir_dec *d, const struct weir_node *n, void *out) {
    ((struct weir_probe_port *)out)->name = "";
    return weir_dec_object(d, n, &probe_object, out);
}

static const struct weir_field container_fields[] = {
    WEIR_F("livenessProbe", struct weir_container_ports, probes[0], decode_probe),
    WEIR_F("readinessProbe", struct weir_container_ports, probes[1], decode_probe),
    WEIR_F("startupProbe", struct weir_container_ports, probes[2], decode_probe),
    WEIR_F_LIST("ports", struct weir_container_ports, ports, n_ports, decode_container_port),
};
static const struct weir_object container_object = {
    .name = "Pod.spec.containers[]",
    .fields = container_fields,
    .n_fields = WEIR_ARRAY_LEN(container_fields),
    .lenient = true,
};

static int decode_container(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &container_object, out);
}

static const struct weir_field pod_spec_fields[] = {
    WEIR_F_LIST("containers", struct weir_draft_pod, main.containers, main.n_containers,
                decode_container),
    WEIR_F_LIST("initContainers", struct weir_draft_pod, init.containers, init.n_containers,
                decode_container),
    WEIR_F("hostNetwork", struct weir_draft_pod, value.host_network, weir_dec_bool),
    WEIR_F("nodeName", struct weir_draft_pod, value.node, weir_dec_string),
    WEIR_F("serviceAccount", struct weir_draft_pod, service_account_old, weir_dec_string),
    WEIR_F("serviceAccountName", struct weir_draft_pod, value.service_account, weir_dec_string),
    WEIR_F_NONE("activeDeadlineSeconds"),
    WEIR_F_NONE("affinity"),
    WEIR_F_NONE("automountServiceAccountToken"),
    WEIR_F_NONE("dnsConfig"),
    WEIR_F_NONE("dnsPolicy"),
    WEIR_F_NONE("enableServiceLinks"),
    WEIR_F_NONE("ephemeralContainers"),
    WEIR_F_NONE("hostAliases"),
    WEIR_F_NONE("hostIPC"),
    WEIR_F_NONE("hostPID"),
    WEIR_F_NONE("hostUsers"),
    WEIR_F_NONE("hostname"),
    WEIR_F_NONE("hostnameOverride"),
    WEIR_F_NONE("imagePullSecrets"),
    WEIR_F_NONE("nodeSelector"),
    WEIR_F_NONE("os"),
    WEIR_F_NONE("overhead"),
    WEIR_F_NONE("preemptionPolicy"),
    WEIR_F_NONE("priority"),
    WEIR_F_NONE("priorityClassName"),
    WEIR_F_NONE("readinessGates"),
    WEIR_F_NONE("resourceClaims"),
    WEIR_F_NONE("resources"),
    WEIR_F_NONE("restartPolicy"),
    WEIR_F_NONE("runtimeClassName"),
    WEIR_F_NONE("schedulerName"),
    WEIR_F_NONE("schedulingGates"),
    WEIR_F_NONE("schedulingGroup"),
    WEIR_F_NONE("securityContext"),
    WEIR_F_NONE("setHostnameAsFQDN"),
    WEIR_F_NONE("shareProcessNamespace"),
    WEIR_F_NONE("subdomain"),
    WEIR_F_NONE("terminationGracePeriodSeconds"),
    WEIR_F_NONE("tolerations"),
    WEIR_F_NONE("topologySpreadConstraints"),
    WEIR_F_NONE("volumes"),
    WEIR_F_NONE("workloadRef"),
};
static const struct weir_object pod_spec_object = WEIR_OBJECT("Pod.spec", pod_spec_fields);

static int decode_pod_spec(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &pod_spec_object, out);
}

static const struct weir_field pod_ip_fields[] = {
    { .key = "ip", .use = WEIR_FIELD_DECODED, .required = true, .fn = weir_dec_ip },
};
static const struct weir_object pod_ip_object = WEIR_OBJECT("Pod.status.podIPs[]", pod_ip_fields);

static int decode_pod_ip(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &pod_ip_object, out);
}

static int decode_old_pod_ip(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_pod *pod = out;

    /* An API server omits it; a laptop file may say "". */
    if (n->type == WEIR_NODE_STRING && n->text[0] == '\0') {
        return 0;
    }
    pod->has_ip = true;
    return weir_dec_ip(d, n, &pod->ip);
}

static int decode_phase(struct weir_dec *d, const struct weir_node *n, void *out) {
    static const char *const words[] = { "Pending", "Running", "Succeeded",
                                         "Failed",  "Unknown", NULL };
    unsigned i = 0;
    int r = weir_dec_word(d, n, words, &i);

    *(bool *)out = i == 2 || i == 3;
    return r;
}

struct condition {
    const char *type, *status;
};

static const struct weir_field pod_condition_fields[] = {
    WEIR_F("type", struct condition, type, weir_dec_string),
    WEIR_F("status", struct condition, status, weir_dec_string),
    WEIR_F_NONE("lastProbeTime"),
    WEIR_F_NONE("lastTransitionTime"),
    WEIR_F_NONE("message"),
    WEIR_F_NONE("observedGeneration"),
    WEIR_F_NONE("reason"),
};
static const struct weir_object pod_condition_object =
    WEIR_OBJECT("Pod.status.conditions[]", pod_condition_fields);

static int decode_pod_conditions(struct weir_dec *d, const struct weir_node *n, void *out) {
    uint32_t i = 0;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_LIST, &r)) {
        return r;
    }
    WEIR_NODE_FOREACH(it, n) {
        struct condition condition = { "", "" };
        weir_dec_enter(d, NULL, i++);
        r = weir_dec_object(d, it, &pod_condition_object, &condition);
        weir_dec_leave(d);
        if (r != 0) {
            return r;
        }
        if (strcmp(condition.type, "Ready") == 0) {
            *(bool *)out = strcmp(condition.status, "True") == 0;
        }
    }
    return 0;
}

static const struct weir_field pod_status_fields[] = {
    WEIR_F("conditions", struct weir_draft_pod, value.ready, decode_pod_conditions),
    WEIR_F("phase", struct weir_draft_pod, ended, decode_phase),
    WEIR_F_SELF("podIP", decode_old_pod_ip),
    WEIR_F_LIST("podIPs", struct weir_draft_pod, value.ips, value.n_ips, decode_pod_ip),
    WEIR_F_NONE("allocatedResources"),
    WEIR_F_NONE("containerStatuses"),
    WEIR_F_NONE("ephemeralContainerStatuses"),
    WEIR_F_NONE("extendedResourceClaimStatus"),
    WEIR_F_NONE("hostIP"),
    WEIR_F_NONE("hostIPs"),
    WEIR_F_NONE("initContainerStatuses"),
    WEIR_F_NONE("message"),
    WEIR_F_NONE("nominatedNodeName"),
    WEIR_F_NONE("observedGeneration"),
    WEIR_F_NONE("qosClass"),
    WEIR_F_NONE("reason"),
    WEIR_F_NONE("resize"),
    WEIR_F_NONE("resourceClaimStatuses"),
    WEIR_F_NONE("resources"),
    WEIR_F_NONE("startTime"),
};
static const struct weir_object pod_status_object = WEIR_OBJECT("Pod.status", pod_status_fields);

static int decode_pod_status(struct weir_dec *d, const struct weir_node *n, void *out) {
    return weir_dec_object(d, n, &pod_status_object, out);
}

static const struct weir_field pod_fields[] = {
    WEIR_F_SELF("apiVersion", weir_dec_nothing),   WEIR_F_SELF("kind", weir_dec_nothing),
    WEIR_F_SELF_REQ("metadata", weir_decode_meta), WEIR_F_SELF("spec", decode_pod_spec),
    WEIR_F_SELF("status", decode_pod_status),
};
static const struct weir_object pod_object = WEIR_OBJECT("Pod", pod_fields);

int weir_decode_path(struct weir_dec *d, const struct weir_node *n, void *out) {
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    if (!weir_is_clean_path(n->text)) {
        return weir_dec_error(
            d, n, "%s is not a path: absolute, without \".\" and \"..\", not \"/\" itself",
            WEIR_SHOW(n));
    }
    return weir_dec_copy(d, n->text, out);
}

int weir_decode_cgroup(struct weir_dec *d, const struct weir_node *n, void *out) {
    char path[4096];
    size_t len;
    int r;

    if (!weir_dec_expect(d, n, WEIR_NODE_STRING, &r)) {
        return r;
    }
    len = (size_t)snprintf(path, sizeof(path), "%s%s", n->text[0] == '/' ? "" : "/", n->text);
    if (len >= sizeof(path) || !weir_is_clean_path(path)) {
        return weir_dec_error(
            d, n, "%s is not a cgroup below the cgroup2 mount: no \".\" and \"..\", not the root",
            WEIR_SHOW(n));
    }
    if (path[len - 1] == '/') {
        path[len - 1] = '\0';
    }
    return weir_dec_copy(d, path, out);
}

/* The name of one directory. */
static int decode_directory(struct weir_dec *d, const struct weir_node *n, void *out) {
    if (n->text[0] == '\0' || n->text[0] == '.' || strchr(n->text, '/') != NULL) {
        return weir_dec_error(d, n, "%s is not the name of a directory", WEIR_SHOW(n));
    }
    return weir_dec_copy(d, n->text, out);
}

static int decode_weight(struct weir_dec *d, const struct weir_node *n, void *out) {
    uint64_t weight;

    if (weir_slice_to_u64(weir_slice_from_str(n->text), &weight) != 0 || weight > 1000000) {
        return weir_dec_error(d, n, "%s is not a weight; expected \"0\" to \"1000000\"",
                              WEIR_SHOW(n));
    }
    *(uint32_t *)out = (uint32_t)weight;
    return 0;
}

static int decode_ports(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_port_ranges *ranges = weir_arena_calloc(d->arena, 1, sizeof(*ranges));

    if (!ranges) {
        return -ENOMEM;
    }
    if (weir_parse_port_ranges(n->text, ranges) < 0) {
        return weir_dec_error(d, n,
                              "%s is not a list of ports; expected up to %u like \"22,8000-8010\"",
                              WEIR_SHOW(n), WEIR_PORT_RANGES_MAX);
    }
    *(const struct weir_port_ranges **)out = ranges->n > 0 ? ranges : NULL;
    return 0;
}

static int decode_annotations(struct weir_dec *d, const struct weir_node *n,
                              struct weir_draft_pod *pod) {
    static const char *const join_words[] = { "off", "auto", "on", NULL };
    unsigned join = UINT32_MAX;
    int r = weir_decode_mode(d, n, &pod->head.meta, &pod->mode);

    if (r == 0) {
        r = weir_decode_annotation_word(d, n, "weir.dev/join", join_words, &join);
    }
    pod->value.join = (int)join;
    if (r == 0) {
        r = weir_decode_annotation_bool(d, n, WEIR_HTTP_TELEMETRY, &pod->value.http_telemetry);
    }
    if (r == 0) {
        r = weir_decode_annotation(d, n, "weir.dev/cgroup", weir_decode_cgroup, &pod->value.cgroup);
    }
    if (r == 0) {
        r = weir_decode_annotation(d, n, "weir.dev/netns", weir_decode_path, &pod->value.netns);
    }
    if (r == 0) {
        r = weir_decode_annotation(d, n, "weir.dev/proxy-cgroup", decode_directory,
                                   &pod->value.sidecar);
    }
    if (r == 0) {
        r = weir_decode_annotation(d, n, "weir.dev/weight", decode_weight, &pod->weight);
    }
    if (r == 0) {
        r = weir_decode_annotation(d, n, "weir.dev/skip-inbound-ports", decode_ports,
                                   &pod->value.skip_inbound);
    }
    if (r == 0) {
        r = weir_decode_annotation(d, n, "weir.dev/skip-outbound-ports", decode_ports,
                                   &pod->value.skip_outbound);
    }
    if (r == 0) {
        r = weir_decode_annotation(d, n, "weir.dev/opaque-ports", decode_ports, &pod->value.opaque);
    }
    return r;
}

static uint32_t count_ports(const struct weir_container_list *list) {
    uint32_t n = 0;

    for (uint32_t i = 0; i < list->n_containers; i++) {
        n += list->containers[i].n_ports;
    }
    return n;
}

static void add_probe(struct weir_pod *pod, uint16_t port) {
    for (uint32_t i = 0; i < pod->n_probe_ports; i++) {
        if (pod->probe_ports[i] == port) {
            return;
        }
    }
    if (port != 0) {
        pod->probe_ports[pod->n_probe_ports++] = port;
    }
}

/* The name of a port that the container has not is an API server's to refuse: here it names none. */
static uint16_t probed(const struct weir_container_ports *c, const struct weir_probe_port *probe) {
    for (uint32_t i = 0; probe->name != NULL && probe->name[0] != '\0' && i < c->n_ports; i++) {
        if (strcmp(c->ports[i].name, probe->name) == 0) {
            return c->ports[i].port;
        }
    }
    return probe->port;
}

static int settle_probes(struct weir_dec *d, struct weir_draft_pod *pod) {
    const struct weir_container_list *lists[] = { &pod->main, &pod->init };

    pod->value.probe_ports =
        weir_arena_calloc(d->arena, 3 * (pod->main.n_containers + pod->init.n_containers) + 1,
                          sizeof(*pod->value.probe_ports));
    if (pod->value.probe_ports == NULL) {
        return -ENOMEM;
    }
    for (size_t l = 0; l < WEIR_ARRAY_LEN(lists); l++) {
        for (uint32_t i = 0; i < lists[l]->n_containers; i++) {
            for (size_t k = 0; k < WEIR_ARRAY_LEN(lists[l]->containers[i].probes); k++) {
                add_probe(&pod->value,
                          probed(&lists[l]->containers[i], &lists[l]->containers[i].probes[k]));
            }
        }
    }
    return 0;
}

static void append_ports(struct weir_pod *pod, const struct weir_container_list *list) {
    for (uint32_t i = 0; i < list->n_containers; i++) {
        for (uint32_t j = 0; j < list->containers[i].n_ports; j++) {
            pod->ports[pod->n_ports++] = list->containers[i].ports[j];
        }
    }
}

static int settle(struct weir_dec *d, struct weir_draft_pod *pod) {
    struct weir_pod *value = &pod->value;
    uint32_t n_ports = count_ports(&pod->main) + count_ports(&pod->init);

    if (value->service_account[0] == '\0') {
        value->service_account =
            pod->service_account_old[0] != '\0' ? pod->service_account_old : "default";
    }
    if (n_ports > 0) {
        value->ports = weir_arena_calloc(d->arena, n_ports, sizeof(*value->ports));
        if (value->ports == NULL) {
            return -ENOMEM;
        }
        append_ports(value, &pod->main);
        append_ports(value, &pod->init);
    }
    if (value->n_ips == 0 && pod->has_ip) {
        value->ips = weir_arena_alloc(d->arena, sizeof(*value->ips));
        if (value->ips == NULL) {
            return -ENOMEM;
        }
        value->ips[0] = pod->ip;
        value->n_ips = 1;
    }
    value->ready = value->ready && !pod->ended;
    return 0;
}

int weir_decode_pod(struct weir_dec *d, const struct weir_node *n, void *out) {
    struct weir_draft_pod *pod = out;

    pod->mode = -1;
    pod->weight = 1;
    pod->service_account_old = "";
    pod->value.service_account = pod->value.node = pod->value.cgroup = pod->value.netns = "";
    pod->value.sidecar = "";
    pod->value.ready = true;
    int r = weir_dec_object(d, n, &pod_object, pod);
    if (r == 0) {
        r = decode_annotations(d, n, pod);
    }
    if (r == 0) {
        r = settle_probes(d, pod);
    }
    return r != 0 ? r : settle(d, pod);
}

const struct weir_object *const *weir_objects_pod(void) {
    static const struct weir_object *const objects[] = {
        &probe_object,         &probe_action_object,
        &pod_object,           &pod_spec_object,
        &container_object,     &container_port_object,
        &pod_status_object,    &pod_ip_object,
        &pod_condition_object, NULL,
    };
    return objects;
}
