# The image of every Airflow service in docker-compose.yml: Python and what requirements/runtime.txt pins, by hash.
# Our code is in it too, so that it runs without a checkout; docker-compose.yml mounts the checkout over it.
FROM python:3.12-slim-bookworm

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1 \
    AIRFLOW_HOME=/opt/airflow NIGHTSHIFT_HOME=/data
WORKDIR /opt/nightshift

COPY requirements/runtime.txt requirements/
RUN pip install --require-hashes --requirement requirements/runtime.txt

COPY pyproject.toml README.md ./
COPY routing_core routing_core
COPY sql sql
COPY config config
COPY dags dags
COPY plugins plugins
RUN pip install --no-deps --no-build-isolation --editable .

# Any user of the root group may write here, so that the services can run as the owner of the mounted data.
RUN mkdir -p /opt/airflow/logs /data && chown -R 50000:0 /opt/airflow /data && chmod -R g=u /opt/airflow /data
USER 50000:0
VOLUME ["/data"]

ENTRYPOINT ["airflow"]
CMD ["version"]
