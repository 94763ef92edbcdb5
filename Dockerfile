# syntax=docker/dockerfile:1
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/cardhour
COPY requirements/base.txt requirements/build.txt requirements/
RUN /opt/cardhour/bin/pip install --no-cache-dir --require-hashes -r requirements/base.txt \
 && python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY app app
COPY migrations migrations
RUN /opt/build/bin/python -m hatchling build -t wheel \
 && /opt/cardhour/bin/pip install --no-cache-dir --no-deps dist/cardhour-*.whl

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/cardhour cardhour
COPY --from=build /opt/cardhour /opt/cardhour
ENV PATH=/opt/cardhour/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CARDHOUR_DATA_DIR=/var/lib/cardhour \
    CARDHOUR_HOST=0.0.0.0 \
    NUMBA_CACHE_DIR=/var/lib/cardhour/compiled
USER cardhour
WORKDIR /var/lib/cardhour
VOLUME /var/lib/cardhour
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["cardhour", "serve"]
