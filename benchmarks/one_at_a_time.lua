-- wrk script: one event a request, every event with an id of its own.
local threads, number = 0, 0

function setup(thread)
  thread:set("name", threads)
  threads = threads + 1
end

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function request()
  number = number + 1
  return wrk.format(nil, nil, nil, string.format(
    '{"metric":"orders.revenue","value":%d.5,"dimensions":{"country":"NL","product":"p%d"},"id":"%s-%d"}',
    number % 1000, number % 200, name, number))
end
