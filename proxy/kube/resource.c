/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `keep` is a list of member names, each with those below it in parentheses, or without any: all of it. Lists are looked
 * through. "spec(ports(name port) selector)" keeps of spec two members, of each port two.
 */
#include "kube/resource.h"

#include <string.h>

#include "base/slice.h"

#define PROBES                                                                                     \
    "livenessProbe(httpGet(port) tcpSocket(port) grpc(port)) "                                     \
    "readinessProbe(httpGet(port) tcpSocket(port) grpc(port)) "                                    \
    "startupProbe(httpGet(port) tcpSocket(port) grpc(port))"
#define CONTAINER "(name ports(name containerPort protocol) " PROBES ")"
#define POD_STATUS                                                                                 \
    "phase podIP podIPs(ip) conditions(type status) initContainerStatuses(name containerID)"

/* Of a Pod elsewhere: who it is, where it is, what its ports are called. Whether it is ready its EndpointSlices say; and of a
 * Service no selector, since in a cluster the endpoints are those of the slices. */
static const char pod_keep[] = "spec(nodeName serviceAccountName hostNetwork containers(ports(name "
                               "containerPort protocol)) initContainers(ports(name containerPort "
                               "protocol))) status(phase podIP podIPs(ip))";
static const char own_pod_keep[] =
    "spec(nodeName serviceAccountName hostNetwork containers" CONTAINER " initContainers" CONTAINER
    ") status(" POD_STATUS ")";
static const char service_keep[] =
    "spec(clusterIP clusterIPs ports(name port protocol targetPort appProtocol) type "
    "externalName sessionAffinity sessionAffinityConfig internalTrafficPolicy trafficDistribution "
    "publishNotReadyAddresses)";
static const char slice_keep[] =
    "addressType endpoints(addresses conditions(ready serving terminating) nodeName zone "
    "targetRef(kind name namespace)) ports(name port protocol)";

#define GATEWAY_API "gateway.networking.k8s.io"
#define ISTIO       "security.istio.io"

static const struct weir_kube_resource resources[WEIR_KUBE_KINDS] = {
    [WEIR_KUBE_NAMESPACE] = { "Namespace", "v1", "/api/v1/namespaces", "", .cluster_scoped = true },
    [WEIR_KUBE_POD] = { "Pod", "v1", "/api/v1/pods", pod_keep },
    [WEIR_KUBE_SERVICE] = { "Service", "v1", "/api/v1/services", service_keep, .keep_labels = "" },
    [WEIR_KUBE_SLICE] = { "EndpointSlice", "discovery.k8s.io/v1",
                          "/apis/discovery.k8s.io/v1/endpointslices", slice_keep,
                          .keep_labels = "kubernetes.io/service-name" },
    [WEIR_KUBE_NETPOL] = { "NetworkPolicy", "networking.k8s.io/v1",
                           "/apis/networking.k8s.io/v1/networkpolicies", "spec", .keep_labels = "",
                           .selector = "podSelector" },
    [WEIR_KUBE_HTTP_ROUTE] = { "HTTPRoute", GATEWAY_API "/v1",
                               "/apis/" GATEWAY_API "/v1/httproutes", "spec", .optional = true,
                               .status = true, .keep_labels = "" },
    [WEIR_KUBE_GRPC_ROUTE] = { "GRPCRoute", GATEWAY_API "/v1",
                               "/apis/" GATEWAY_API "/v1/grpcroutes", "spec", .optional = true,
                               .status = true, .keep_labels = "" },
    [WEIR_KUBE_TLS_ROUTE] = { "TLSRoute", GATEWAY_API "/v1", "/apis/" GATEWAY_API "/v1/tlsroutes",
                              "spec", .optional = true, .keep_labels = "" },
    [WEIR_KUBE_GATEWAY] = { "Gateway", GATEWAY_API "/v1", "/apis/" GATEWAY_API "/v1/gateways",
                            "spec", .optional = true, .keep_labels = "" },
    [WEIR_KUBE_GRANT] = { "ReferenceGrant", GATEWAY_API "/v1beta1",
                          "/apis/" GATEWAY_API "/v1beta1/referencegrants", "spec", .optional = true,
                          .keep_labels = "" },
    [WEIR_KUBE_BACKEND_TLS] = { "BackendTLSPolicy", GATEWAY_API "/v1",
                                "/apis/" GATEWAY_API "/v1/backendtlspolicies", "spec",
                                .optional = true, .keep_labels = "" },
    [WEIR_KUBE_AUTHZ] = { "AuthorizationPolicy", ISTIO "/v1",
                          "/apis/" ISTIO "/v1/authorizationpolicies", "spec", .optional = true,
                          .keep_labels = "", .selector = "selector" },
    [WEIR_KUBE_EGRESS_POLICY] = { "EgressPolicy", "weir.dev/v1alpha1",
                                  "/apis/weir.dev/v1alpha1/egresspolicies", "spec",
                                  .optional = true, .keep_labels = "", .selector = "podSelector" },
    [WEIR_KUBE_PEER_AUTH] = { "PeerAuthentication", ISTIO "/v1",
                              "/apis/" ISTIO "/v1/peerauthentications", "spec", .optional = true,
                              .keep_labels = "" },
    [WEIR_KUBE_BACKEND_POLICY] = { "BackendPolicy", "weir.dev/v1alpha1",
                                   "/apis/weir.dev/v1alpha1/backendpolicies", "spec",
                                   .optional = true, .keep_labels = "" },
    [WEIR_KUBE_ROUTE_POLICY] = { "RoutePolicy", "weir.dev/v1alpha1",
                                 "/apis/weir.dev/v1alpha1/routepolicies", "spec", .optional = true,
                                 .keep_labels = "" },
};

const struct weir_kube_resource *weir_kube_resource(enum weir_kube_kind kind) {
    return &resources[kind];
}

const json_t *weir_kube_get(const json_t *object, ...) {
    const char *key;
    va_list keys;

    va_start(keys, object);
    while (object && (key = va_arg(keys, const char *)))
        object = json_object_get(object, key);
    va_end(keys);
    return object;
}

const char *weir_kube_text(const json_t *object, const char *first, const char *second) {
    const json_t *value = json_object_get(object, first);
    const char *text;

    if (second)
        value = json_object_get(value, second);
    text = json_string_value(value);
    return text ? text : "";
}

/* One name of the list and what stands in its parentheses (ptr NULL = none given). */
static bool next_name(struct weir_slice *keep, struct weir_slice *ret_name,
                      struct weir_slice *ret_below) {
    size_t n = 0, depth = 0;

    while (keep->len > 0 && *keep->ptr == ' ')
        *keep = weir_slice_make(keep->ptr + 1, keep->len - 1);
    while (n < keep->len && keep->ptr[n] != ' ' && keep->ptr[n] != '(')
        n++;
    *ret_name = weir_slice_make(keep->ptr, n);
    *ret_below = WEIR_SLICE_NONE;
    if (n < keep->len && keep->ptr[n] == '(') {
        size_t from = n + 1;

        do {
            depth += keep->ptr[n] == '(';
            depth -= keep->ptr[n] == ')';
            n++;
        } while (depth > 0);
        *ret_below = weir_slice_make(keep->ptr + from, n - 1 - from);
    }
    *keep = weir_slice_make(keep->ptr + n, keep->len - n);
    return ret_name->len > 0;
}

static json_t *kept(const json_t *value, struct weir_slice keep);

static bool keep_members(json_t *to, const json_t *from, struct weir_slice keep) {
    struct weir_slice name, below;

    while (next_name(&keep, &name, &below)) {
        char key[64];
        json_t *value, *copy;

        memcpy(key, name.ptr, name.len);
        key[name.len] = '\0';
        value = json_object_get(from, key);
        if (!value || json_is_null(value))
            continue;
        copy = below.ptr ? kept(value, below) : json_incref(value);
        if (json_object_set_new(to, key, copy) != 0)
            return false;
    }
    return true;
}

/* NULL = no memory. */
static json_t *kept(const json_t *value, struct weir_slice keep) {
    json_t *to, *item;
    size_t i;

    if (json_is_array(value)) {
        to = json_array();
        json_array_foreach((json_t *)value, i,
                           item) if (to && json_array_append_new(to, kept(item, keep)) != 0) {
            json_decref(to);
            return NULL;
        }
        return to;
    }
    if (!json_is_object(value))
        return json_incref((json_t *)value);
    to = json_object();
    if (to && !keep_members(to, value, keep)) {
        json_decref(to);
        return NULL;
    }
    return to;
}

/* weir's own, without those that say where a Pod is: that is the node's to find, not the author's of the Pod to claim. */
static bool keeps_annotation(const char *key) {
    static const char *const refused[] = { "weir.dev/cgroup", "weir.dev/netns",
                                           "weir.dev/proxy-cgroup" };

    for (size_t i = 0; i < WEIR_ARRAY_LEN(refused); i++)
        if (strcmp(key, refused[i]) == 0)
            return false;
    return strncmp(key, "weir.dev/", 9) == 0 || strcmp(key, "istio.io/dry-run") == 0;
}

static bool keeps_label(const struct weir_kube_resource *resource, const char *key) {
    return !resource->keep_labels || strcmp(key, resource->keep_labels) == 0 ||
           strncmp(key, "weir.dev/", 9) == 0;
}

static json_t *texts(const struct weir_kube_resource *resource, const json_t *from) {
    json_t *to = NULL, *value;
    const char *key;

    json_object_foreach((json_t *)from, key, value) {
        if (resource ? !keeps_label(resource, key) : !keeps_annotation(key))
            continue;
        if (!to)
            to = json_object();
        if (!to || json_object_set(to, key, value) != 0)
            break;
    }
    return to;
}

static json_t *metadata(const struct weir_kube_resource *resource, bool own, const json_t *from) {
    /* Which of two is the older matters for what is in conflict; a Pod's says whose address it is. */
    bool young =
        resource == &resources[WEIR_KUBE_SERVICE] || resource == &resources[WEIR_KUBE_SLICE];
    json_t *to = json_object(), *labels, *annotations;
    const char
        *mirror; /* a static pod's cgroup bears this instead of the UID of its image in the API */
    bool ok = to && keep_members(
                        to, from,
                        young ? WEIR_SLICE("name namespace")
                        : own ? WEIR_SLICE("name namespace creationTimestamp deletionTimestamp uid")
                              : WEIR_SLICE("name namespace creationTimestamp deletionTimestamp"));

    if (!ok) {
        json_decref(to);
        return NULL;
    }
    mirror =
        weir_kube_text(json_object_get(from, "annotations"), "kubernetes.io/config.mirror", NULL);
    if (own && mirror[0])
        json_object_set_new(to, "uid", json_string(mirror));
    labels = texts(resource, json_object_get(from, "labels"));
    annotations = texts(NULL, json_object_get(from, "annotations"));
    if ((labels && json_object_set_new(to, "labels", labels) != 0) ||
        (annotations && json_object_set_new(to, "annotations", annotations) != 0)) {
        json_decref(to);
        return NULL;
    }
    return to;
}

/* Of a Pod's conditions one is read. */
static void only_ready(json_t *pod) {
    json_t *list = json_object_get(json_object_get(pod, "status"), "conditions");

    for (size_t i = json_array_size(list); i > 0; i--)
        if (strcmp(weir_kube_text(json_array_get(list, i - 1), "type", NULL), "Ready") != 0)
            json_array_remove(list, i - 1);
}

json_t *weir_kube_prune(enum weir_kube_kind kind, bool own, const json_t *object,
                        const char **ret_why) {
    const struct weir_kube_resource *resource = &resources[kind];
    const json_t *meta = json_object_get(object, "metadata");
    const char *keep = kind == WEIR_KUBE_POD && own ? own_pod_keep : resource->keep;
    json_t *to;

    *ret_why = "it has no metadata.name";
    if (weir_kube_text(meta, "name", NULL)[0] == '\0')
        return NULL;
    *ret_why = "it has no metadata.namespace";
    if (!resource->cluster_scoped && weir_kube_text(meta, "namespace", NULL)[0] == '\0')
        return NULL;
    *ret_why = NULL;
    to = json_pack("{s:s, s:s, s:o}", "apiVersion", resource->version, "kind", resource->kind,
                   "metadata", metadata(resource, own, meta));
    if (!to)
        return NULL;
    if (!keep_members(to, object, weir_slice_from_str(keep))) {
        json_decref(to);
        return NULL;
    }
    if (kind == WEIR_KUBE_POD)
        only_ready(to);
    return to;
}
