-- wrk script: POST the request bodies of a file, one a line, in turn; print the figures as JSON.
local requests, place = {}, 0

function init(args)
  for body in io.lines(args[1]) do
    requests[#requests + 1] =
      wrk.format("POST", wrk.path, {["Content-Type"] = "application/json"}, body)
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    'FIGURES {"requests": %d, "seconds": %.6f, "failed": %d, "p50_ms": %.4f, "p99_ms": %.4f}\n',
    summary.requests, summary.duration / 1e6, e.status + e.connect + e.read + e.write + e.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
