"""How a study is carried out: here, in processes, on a Ray cluster; swept, timed, profiled."""
