use super::*;
#[test]
fn dump() {
 for text in [
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[group.web.check]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.checks]]
docker.running = 10
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[[group]]
peers = ["10.114.0.4", "10.114.0.5"]
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
preempt = true
"####,
r####"[digitalocean]
token = "dop_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
[heartbeat]
key = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token = """
geheim
""" 
[heartbeat]
old_key = { inline = "geheim" }
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
tokn = geheim
[heartbeat]
key = "gehei
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = "10.0.0.5"
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
interval = 1
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
interval = 1s
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
interval = "500"
[node]
[digitalocean.timeout]
a = 1
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
claim_timeout = "soon"
verify_interval = "1h"
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = "10"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[node]
address = "10.0.0.5"
[group.web]
peers = ["10.0.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = []
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
[group.api]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.api.check]]
docker.running = 1
docker.name = "api"
[[group.api.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
[group.api]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.api.check]]
docker.running = 1
docker.name = "api"
[[group.api.claim]]
digitalocean.reserved_ip = "203.0.113.11"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.11"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
name = "x"
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
name = "x"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####""####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
name = "x"
[[group.web.claim]]
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[node]
maintenance = "drain"
[control]
http = "127.0.0.1:17113"
[group.web]
peers_tag = "web"
witness = true
majority = true
probe.http = "http://203.0.113.10/"
flap = { moves = 4, window = "10m" }
[group.web.hooks]
promote = ["/usr/local/bin/promote"]
[[group.web.check]]
http.url = "http://127.0.0.1/"
[[group.web.check]]
docker.running = 1
docker.project = "web"
[[group.web.claim]]
digitalocean.reserved_ip = "auto"
[[group.web.claim]]
address.ip = "10.0.0.9"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
running = 10
[[group.web.claim]]
reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker = 10
[[group.web.claim]]
digitalocean = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
socket = "/run/docker.sock"
preempt = true
[node]
port = 1
token = "geheim"
[docker]
peers = []
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
interval = "1s"
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
docker.interval = "1s"
docker.priority = 5
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"peers = []
hallo = 1
node = 7
[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
intervall = "1s"
[nodes]
name = "a"
[contrl]
[zzz]
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
pririty = 5
whatever = 5
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[[node]]
name = "a"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
priorities = 5
[[group.api]]
peers = []
[group."a b"]
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group]
peers = ["10.114.0.4"]
"####,
r####"[digitalocean]
token = { file = "/a", env = "B" }
[heartbeat]
key = {}
old_key.fiel = "/a"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.env = "dop_v1_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
[heartbeat]
key.file = "heartbeat.key"
old_key.credential = "/run/key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.env = "DO_TOKEN"
[heartbeat]
key.file = "/a"
insecure = true
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.env = "DO_TOKEN"
[heartbeat]
old_key.file = "/a"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
old_key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[node]
on_stop = "resgin"
name = "web 1"
address = "10.0.0.5/24"
state_dir = "state"
realtime = "true"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
port = 0
interval = "5ms"
[digitalocean.x]
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
priority = 255
priorities = { "a b" = 1, "c" = 300 }
[[group.web.check]]
docker.running = 99999999999999999999999
rise = 0
weight = 0
timeout = 1.5
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
name = "a"
docker.min = 5
docker.max = 4
[[group.web.check]]
name = "b"
docker.running = 5
docker.max = 6
[[group.web.check]]
name = "c"
docker.min = 0
[[group.web.check]]
name = "d"
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
claim_timeout = "5s"
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.0.0.4", "10.0.0.4", "fd00::1", "10.0.0.5:17112", "0.0.0.0", "web-1", 7, "203.0.113.10"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "203.0.113.10"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[[group.check]]
docker.running = 1
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
interval =
port = 17112
port = 17113
[node]
realtime = tru
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.env = "DO_TOKEN"
api_url = "https://me:word@api"
metadata_url = "169.254.169.254"
[heartbeat]
key.file = "/a"
[docker]
socket = "unix:///var/run/docker.sock"
[control]
socket = "/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[node]
name = "a
realtime = ja
this is no line
on_stop =
address = 10.0.0.5
name = "b"
[group.web
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
[group.web]
preempt = true
"####,
r####"[digitalocean]
token = "geheim"
timeout = 5
api_url = "api"
droplet_id = "x"
[heartbeat]
port = 70000
interval = "1ms"
keys.file = "/a"
insecure = 1
[node]
name = ""
adress = "auto"
on_stop = "stop"
[group.web]
peers = ["10.0.0.4", "10.0.0.4"]
priority = 0
preempt = "yes"
claim_timeout = "1"
[[group.web.check]]
docker.running = "10"
rise = 0
fall = true
intervall = "1s"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.300"
majority = "auto"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
weight = -20
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
preempt = true
priorities = { "web-1" = 150 }
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
weight = -20
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
preempt = true
priorities = { "web-1" = 150 }
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
weight = 20
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
interval = "100ms"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.env = "DO_TOKEN"
api_url = "http://10.0.0.9"
[heartbeat]
insecure = true
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.114.0.4", "10.114.0.5"]
preempt_delay = "5s"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
r####"[digitalocean]
token.file = "/etc/haagent/do-token"
[heartbeat]
key.file = "/etc/haagent/heartbeat.key"
[group.web]
peers = ["10.0.0.1"]
[[group.web.check]]
docker.running = 10
docker.label = "app=web"
[[group.web.claim]]
digitalocean.reserved_ip = "203.0.113.10"
"####,
] { match parse("haagent.toml", text.as_bytes()) { Ok(l) => print!("@@OK\n{}", l.warnings), Err(p) => print!("@@ERR\n{p}") } }
 println!("@@END");}
