# One image for all roles: `docker run … tallyboard ingest`, `rollup` or `dashboard`. Kafka is not in it: see compose.yaml.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY ingest ingest
COPY aggregates aggregates
COPY dashboard dashboard
COPY tallyboard tallyboard
COPY examples examples
RUN python -m venv /opt/tallyboard \
 && /opt/tallyboard/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.12-slim
RUN useradd --uid 10001 --no-create-home --home-dir /data tallyboard \
 && install --directory --owner tallyboard --group tallyboard /data /workspace
COPY --from=build /opt/tallyboard /opt/tallyboard
ENV PATH=/opt/tallyboard/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    TALLYBOARD_DATA=/data \
    TALLYBOARD_WORKSPACE=/workspace
USER tallyboard
WORKDIR /data
VOLUME /data
EXPOSE 8080 8060 8050
ENTRYPOINT ["tallyboard"]
