-- Exact figures in place of wrk's rounded ones. Defining `done` alone adds nothing to a request.
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("summary %.0f %.0f %.0f %.0f %.0f %.0f\n",
    summary.requests, summary.bytes, summary.duration,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
