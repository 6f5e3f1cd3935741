-- Health of a WeaviateCluster for Argo CD. The same text serves all kinds: Argo CD loads no second file.
--
-- Suspended: a person paused it, or a plan waits for approval. A sync then waits instead of failing.
-- Degraded: nothing moves without a person, or it is not as declared and nobody is at work on it.
-- Unknown: the operator could not look. Never taken for healthy.

local function condition(wanted)
  for _, found in ipairs((obj.status or {}).conditions or {}) do
    if found.type == wanted then
      return found
    end
  end
  return nil
end

local function told(found)
  return (found.reason or "") .. ": " .. (found.message or "")
end

local function is_true(found)
  return found ~= nil and found.status == "True"
end

local metadata = obj.metadata or {}
local status = obj.status or {}
local ready = condition("Ready")
local stalled = condition("Stalled")
local reconciling = condition("Reconciling")

if metadata.deletionTimestamp ~= nil then
  return { status = "Progressing", message = "being deleted" }
end
if (metadata.annotations or {})["elysia.dev/paused"] == "true" then
  return { status = "Suspended", message = "paused by the annotation elysia.dev/paused" }
end
if ready == nil then
  return { status = "Progressing", message = "the operator has not looked at it yet" }
end
if metadata.generation ~= nil and (status.observedGeneration or 0) < metadata.generation then
  return { status = "Progressing", message = "the operator has not seen the present spec yet" }
end
if is_true(stalled) then
  if ready.reason == "NeedsApproval" or stalled.reason == "NeedsApproval" then
    return { status = "Suspended", message = told(stalled) }
  end
  return { status = "Degraded", message = told(stalled) }
end
if is_true(ready) then
  return { status = "Healthy", message = told(ready) }
end
if ready.status == "Unknown" then
  return { status = "Unknown", message = told(ready) }
end
if is_true(reconciling) then
  return { status = "Progressing", message = told(reconciling) }
end
return { status = "Degraded", message = told(ready) }
