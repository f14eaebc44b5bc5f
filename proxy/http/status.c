/* SPDX-License-Identifier: Apache-2.0 */
/* The reason phrases of RFC 9110 15, the common ones first. */
#include "http/status.h"

#include "base/err.h"

struct weir_slice weir_status_reason(uint16_t status) {
    static const struct {
        uint16_t status;
        const char *text;
    } reasons[] = {
        { 200, "OK" },
        { 100, "Continue" },
        { 101, "Switching Protocols" },
        { 103, "Early Hints" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 206, "Partial Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 411, "Length Required" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" },
        { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" },
        { 426, "Upgrade Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 508, "Loop Detected" },
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status)
            return weir_slice_from_str(reasons[i].text);
    return WEIR_SLICE_NONE;
}
