# The node as an image: receiver, workers, operator's page.
# CPU:   docker build --build-arg TORCH_INDEX=<address of PyTorch's CPU wheels> -t spineps-pacs .
# CUDA:  docker build -t spineps-pacs:cuda .   (torch from the usual index brings its CUDA libraries with it)
# Weights are mounted at /models, data lives in /data. docs/deploy.md has the rest.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG TORCH_INDEX=""
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /src
COPY constraints.txt ./
# torch in a layer of its own: it is by far the largest, and changes least
RUN python -m venv /opt/spineps-pacs \
 && /opt/spineps-pacs/bin/pip install --no-cache-dir -c constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY spineps_pacs spineps_pacs
RUN /opt/spineps-pacs/bin/pip install --no-cache-dir -c constraints.txt '.[engines,small-fov]'

FROM ${PYTHON_IMAGE} AS node
LABEL org.opencontainers.image.title="spineps-pacs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.description="A DICOM node that segments, labels and measures the spine in MR with SPINEPS"
RUN useradd --create-home --uid 10001 spineps \
 && install -d -o spineps -g spineps /data /models /etc/spineps-pacs
COPY --from=build /opt/spineps-pacs /opt/spineps-pacs
COPY config/container.toml /etc/spineps-pacs/spineps-pacs.toml
ENV PATH=/opt/spineps-pacs/bin:$PATH
USER 10001
VOLUME ["/data", "/models"]
EXPOSE 11112 8080
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=5)"]
ENTRYPOINT ["spineps-pacs"]
CMD ["serve", "--config", "/etc/spineps-pacs/spineps-pacs.toml"]
