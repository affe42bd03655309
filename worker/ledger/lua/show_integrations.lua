-- needs: integration_records
-- show_integrations: those of the integrations that exist, in the order given.
-- A: ids
-- Returns msgpack {records = [{id row}]}.
local records = {}
for _, id in ipairs(A.ids) do records[#records + 1] = integration_record(id) end
return cmsgpack.pack({ records = records })
