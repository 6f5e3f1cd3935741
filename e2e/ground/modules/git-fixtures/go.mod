module elysia.dev/ground/git-fixtures

go 1.26.0

require github.com/go-git/go-git-fixtures/v4 v4.2.1
