std = "max"
max_line_length = 100
files["tests"] = {max_line_length = 150}
files["bindings/lua/lib/resty"] = {read_globals = {"ngx"}}
files["tests/nginx"] = {globals = {"ngx"}}
files["tests/played/player_nginx.lua"] = {globals = {"ngx"}}
