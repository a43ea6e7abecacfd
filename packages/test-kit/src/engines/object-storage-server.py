"""OpenStack Swift with its S3 API, whole in one process: object-storage-server.py DIRECTORY ACCESS_KEY_ID SECRET.

Account, container and object server and the proxy, each on a free port of 127.0.0.1; prints the proxy's port. Swift's
own commands would need /etc/swift, fixed ports, memcached and a syslog.
"""
import logging
import logging.handlers
import os
import sys

import eventlet
import eventlet.patcher
import eventlet.wsgi

eventlet.patcher.monkey_patch(all=False, socket=True, select=True, thread=True)
# Logging the thread under the patch can deadlock (Swift's own start does the same).
logging.logThreads = 0
logging.handlers.SysLogHandler.emit = lambda self, record: print(self.format(record), file=sys.stderr, flush=True)

from swift.common.ring.builder import RingBuilder  # noqa: E402
from swift.common.http_protocol import SwiftHttpProtocol  # noqa: E402
from swift.common.utils import NullLogger, set_swift_dir  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

directory, access_key_id, secret = sys.argv[1:]
account_name, user_name = access_key_id.split(":")
os.makedirs(f"{directory}/devices/d1")
with open(f"{directory}/swift.conf", "w") as file:
    file.write("[swift-hash]\nswift_hash_path_suffix = test\n")
set_swift_dir(directory)

defaults = f"""
[DEFAULT]
swift_dir = {directory}
devices = {directory}/devices
mount_check = false
log_level = WARNING
log_address = {directory}/no-syslog
"""
# Slow test machines: a listing that is updated late would stay wrong, because the daemon that corrects it does not run.
storage_server = """
[pipeline:main]
pipeline = server
[app:server]
use = egg:swift#{name}
container_update_timeout = 60
"""
proxy_server = f"""
[pipeline:main]
pipeline = catch_errors cache s3api tempauth slo proxy-server
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
use = egg:swift#memcache
[filter:s3api]
use = egg:swift#s3api
[filter:tempauth]
use = egg:swift#tempauth
user_{account_name}_{user_name} = {secret} .admin
[filter:slo]
use = egg:swift#slo
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
conn_timeout = 10
node_timeout = 60
"""

sockets = {}
for name in ("account", "container", "object", "proxy"):
    sockets[name] = eventlet.listen(("127.0.0.1", 0), backlog=1024)
    with open(f"{directory}/{name}.conf", "w") as file:
        file.write(defaults + (proxy_server if name == "proxy" else storage_server.format(name=name)))
for name in ("account", "container", "object"):
    builder = RingBuilder(4, 1, 1)
    port = sockets[name].getsockname()[1]
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": port, "device": "d1", "weight": 1.0})
    builder.rebalance()
    builder.get_ring().save(f"{directory}/{name}.ring.gz")

servers = [
    eventlet.spawn(
        eventlet.wsgi.server,
        socket,
        loadapp(f"{directory}/{name}.conf"),
        NullLogger(),
        protocol=SwiftHttpProtocol,
        # S3 clients look for "ETag"; eventlet would write "Etag".
        capitalize_response_headers=False,
    )
    for name, socket in sockets.items()
]
print(f"listening on 127.0.0.1:{sockets['proxy'].getsockname()[1]}", flush=True)
for server in servers:
    server.wait()
