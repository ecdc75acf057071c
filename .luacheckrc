std = "max"
max_line_length = 100
files["tests"] = {max_line_length = 150}
