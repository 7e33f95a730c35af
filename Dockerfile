FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o /bridge ./cmd/bridge
RUN install -d -m 1777 /image/tmp

# Nothing but the program, the certificates it checks clusters against, and a folder
# for temporary files.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /image /
COPY --from=build /bridge /bridge
USER 65532:65532
EXPOSE 9090
ENTRYPOINT ["/bridge"]
CMD ["serve", "--config", "/etc/bridge/bridge.yaml"]
