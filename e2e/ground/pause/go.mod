module elysia.dev/ground/pause

go 1.26
