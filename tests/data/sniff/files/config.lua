-- Loads settings and watches them for changes.
local M = {}

local defaults = {
  width = 80,
  theme = "dark",
  plugins = { "tree", "search" },
}

local function merge(into, from)
  for key, value in pairs(from) do
    if type(value) == "table" and type(into[key]) == "table" then
      merge(into[key], value)
    else
      into[key] = value
    end
  end
  return into
end

function M.setup(options)
  M.options = merge(setmetatable({}, { __index = defaults }), options or {})
  if not M.options.theme then
    error("no theme: " .. tostring(options))
  end
  for i, plugin in ipairs(defaults.plugins) do
    print(string.format("%d: %s", i, plugin))
  end
  return M
end

return M
